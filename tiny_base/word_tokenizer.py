"""The tokenizer of the bundled base for `AutoTokenizer.from_pretrained(..., trust_remote_code=True)`.

It is what its tokenizer.json says, and nothing more. Without trust_remote_code this file is not run: its
name in tokenizer_config.json is enough to keep AutoTokenizer from putting Qwen's tokenizer in its place.
"""

from transformers import PreTrainedTokenizerFast


class WordTokenizer(PreTrainedTokenizerFast):
    """Words, digits and signs, each one token."""
