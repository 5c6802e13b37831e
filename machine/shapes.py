"""The shape of a decoder: the numbers of its config on which memory and time depend.

Read from the config, for any family whose blocks are the usual seven matrices (Llama, SmolLM, Qwen2,
Qwen3, Gemma and others of that build), and counted again on a model without a byte of weights: a block
that is built in another way is refused, not planned wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from machine.gguf import SMOLLM2, file_of
from settings import GPU_BASE


@dataclass(frozen=True)
class Shape:
    """The numbers of a decoder's config on which its memory depends."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int  # fewer than heads: grouped-query attention
    head_dim: int
    tied: bool  # the head is the embedding
    biases: bool  # of q, k and v
    context: int  # tokens that every layer sees
    norms: int = 2  # of a block, each as wide as the hidden state; Gemma 2 and 3 have 4
    head_norms: bool = False  # q and k are normalised, head by head: Qwen3, Gemma 3

    def linears(self) -> list[tuple[int, int]]:
        """(out, in) of the seven linear layers of a block: q, k, v, o, gate, up, down."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        block = [(q, self.hidden), (kv, self.hidden), (kv, self.hidden), (self.hidden, q)]
        return [*block, *2 * [(self.intermediate, self.hidden)], (self.hidden, self.intermediate)]

    def small(self) -> int:
        """Numbers of a block that stand in no matrix: its norms and biases."""
        biases = sum(out for out, _ in self.linears()[:3]) if self.biases else 0
        return self.norms * self.hidden + biases + (2 * self.head_dim if self.head_norms else 0)


def llama(vocabulary, hidden, intermediate, layers, heads, kv_heads, context, **more) -> Shape:
    """A tied shape without biases, its heads as wide as the hidden state allows."""
    width = more.pop("head_dim", hidden // heads)
    same = {"tied": True, "biases": False} | more
    return Shape(
        vocabulary, hidden, intermediate, layers, heads, kv_heads, width, context=context, **same
    )


# From the config.json of each model on the hub: a plan needs neither network nor weights. The counts of
# parameters that come out are those that the models are published with (tests/machine/test_shapes.py).
SMOLLM2_135M = llama(49152, 576, 1536, 30, 9, 3, context=8192)
SMOLLM2_360M = llama(49152, 960, 2560, 32, 15, 5, context=8192)
PUBLISHED = {
    GPU_BASE: llama(151936, 2048, 11008, 36, 16, 2, context=32768, biases=True),
    "Qwen/Qwen3-1.7B": llama(151936, 2048, 6144, 28, 16, 8, context=40960, head_norms=True),
    "meta-llama/Llama-3.2-1B": llama(128256, 2048, 8192, 16, 32, 8, context=131072),
    "HuggingFaceTB/SmolLM2-135M": SMOLLM2_135M,
    "HuggingFaceTB/SmolLM2-135M-Instruct": SMOLLM2_135M,
    SMOLLM2: SMOLLM2_135M,  # the same in a GGUF file
    "HuggingFaceTB/SmolLM2-360M": SMOLLM2_360M,
    "HuggingFaceTB/SmolLM2-360M-Instruct": SMOLLM2_360M,
}


def shape_of(model: str) -> Shape:
    """The published shape of a model known here, else that of a config file, a folder or a hub id.

    Raises ValueError, naming the flag, for a config that cannot be read or that is built in another way.
    """
    if model in PUBLISHED:
        return PUBLISHED[model]
    from transformers import AutoConfig

    try:
        file = file_of(model)
        where = {"gguf_file": file.name} if file else {}
        config = AutoConfig.from_pretrained(
            file.parent if file else model, trust_remote_code=False, **where
        )
        return shape_of_config(config)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        if Path(model).suffix == ".json":
            raise ValueError(
                f"--config {model} cannot be planned with: give the config.json of a model "
                f"({str(error).splitlines()[0]})"
            ) from error
        raise ValueError(
            f"the memory of {model!r} cannot be planned: give --model a folder with a config.json, or a "
            "Hugging Face id that can be reached, or plan with --config FILE from a config.json alone "
            f"({str(error).splitlines()[0]})"
        ) from error


def shape_of_config(config) -> Shape:
    """What a config of transformers says, checked against the model that it builds.

    Raises ValueError for a model whose blocks hold other numbers than those of a `Shape`.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    blocks = getattr(getattr(model, "model", None), "layers", None)
    if not blocks:
        raise ValueError(f"a model of the type {config.model_type!r} is no decoder in blocks")
    names = dict(blocks[0].named_parameters())
    head_dim = getattr(config, "head_dim", None)
    shape = Shape(
        config.vocab_size,
        config.hidden_size,
        config.intermediate_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
        head_dim or config.hidden_size // config.num_attention_heads,
        bool(config.tie_word_embeddings),
        any(name.endswith("k_proj.bias") for name in names),
        context_of(config),
        sum(1 for name in names if "layernorm" in name),
        any(name.endswith(("q_norm.weight", "k_norm.weight")) for name in names),
    )
    check_counted(shape, model, config.model_type)
    return shape


def config_of(shape: Shape, **more):
    """A config of transformers with this shape, the other way round: Qwen2's, Qwen3's or Llama's.

    more: what else the config is told, a dtype for instance.
    """
    from transformers import LlamaConfig, Qwen2Config, Qwen3Config

    kind = Qwen2Config if shape.biases else Qwen3Config if shape.head_norms else LlamaConfig
    return kind(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=shape.context,
        **more,
    )


def check_counted(shape: Shape, model, kind: str) -> None:
    """Raise ValueError unless the shape's matrices and its count of numbers are those of the model."""
    import torch

    blocks = model.model.layers
    found = [
        (m.out_features, m.in_features) for m in blocks.modules() if isinstance(m, torch.nn.Linear)
    ]
    tables = (1 if shape.tied else 2) * shape.vocabulary * shape.hidden
    block = sum(out * into for out, into in shape.linears()) + shape.small()
    expected = shape.layers * block + shape.hidden + tables
    counted = sum(p.numel() for p in model.parameters())
    if sorted(found) != sorted(shape.layers * shape.linears()) or counted != expected:
        raise ValueError(
            f"a model of the type {kind!r} has {counted:,} numbers where the plan counts {expected:,}: "
            "it plans for blocks of q, k, v, o, gate, up and down"
        )


def context_of(config) -> int:
    """Tokens that every layer sees: the model's context, or the window of layers that look back less far.

    Decoding on fixed slots and scoring without a mask both take it that no token is out of sight.
    """
    sliding = "sliding_attention" in (getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None) if sliding else None
    return min(config.max_position_embeddings, window or config.max_position_embeddings)
