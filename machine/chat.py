"""A tokenizer's chat template: the question that it makes of a problem, and the token that ends a turn.

The template is rendered once a run with "{problem}" for the problem, and what comes out is a prompt
template like any other. So a run knows its prompt word by word in config.json, and a template that names
the day says the same day when the run is resumed.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from settings import CHAT, GPU_BASE, Settings, is_bundled

ASK = "{problem}\nThink step by step, and put your final answer within \\boxed{}."
ASK_AGAIN = "{problem}\nPut the answer in a box."  # after an example, which shows how
DAY = "1 Jan 2025"  # Llama 3 names the day: the same one in all runs


def with_prompt_template(
    settings: Settings, asked: str | None, tokenizer, example: tuple[str, str] | None = None
) -> tuple[Settings, str]:
    """The settings with the template that is used, and the sentence that says which.

    asked: --prompt-template as it was given. Without it, a tokenizer's chat template is used where there
    is one; the bundled base and Qwen2.5-3B, which is no chat model, have their own. example: a problem
    and its worked answer, shown as an earlier turn. Raises ValueError as `chat_template` does.
    """
    own = asked is None and not is_bundled(settings.model) and settings.model != GPU_BASE
    if asked == CHAT or (own and getattr(tokenizer, "chat_template", None)):
        text = chat_template(tokenizer, example)
        why = "asked for" if asked else "its tokenizer has one"
        shown = ", after one worked example" if example else ""
        said = f"prompt: the model's chat template ({why}){shown}; the answer is asked for in a box"
        return replace(settings, prompt_template=text), said
    name = settings.prompt_template
    return (
        settings,
        f"prompt: {name if '{problem}' not in name else 'the text of --prompt-template'}",
    )


def chat_template(tokenizer, example: tuple[str, str] | None = None) -> str:
    """A tokenizer's chat template as a text with {problem} in it, up to where the answer begins.

    Raises ValueError, naming the flag, if the tokenizer has none or its template drops the question.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "--prompt-template chat needs a tokenizer with a chat template, and this model's has none: "
            "give plain, qwen-boxed, or a text with {problem} in it"
        )
    turns = [{"role": "user", "content": ASK_AGAIN if example else ASK}]
    if example:
        problem, answer = example
        first = {"role": "user", "content": ASK_AGAIN.replace("{problem}", problem)}
        turns = [first, {"role": "assistant", "content": answer}, *turns]
    text = tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True, date_string=DAY
    )
    if "{problem}" not in text:
        raise ValueError("--prompt-template chat: the model's chat template drops the question")
    if tokenizer.bos_token and tokenizer.encode("x")[0] == tokenizer.bos_token_id:
        text = text.removeprefix(tokenizer.bos_token)  # the tokenizer puts it there once more
    return text


@cache
def turn_end(tokenizer) -> int | None:
    """The token with which the tokenizer's chat template ends a turn; None without one.

    Seen in a rendered conversation, so it is whatever the template says: <|im_end|>, <|eot_id|>, ...
    """
    if not getattr(tokenizer, "chat_template", None):
        return None
    talk = [{"role": "user", "content": "ask"}, {"role": "assistant", "content": "the reply"}]
    said = tokenizer.apply_chat_template(talk, tokenize=False)
    after = tokenizer.encode(said.rpartition("the reply")[2], add_special_tokens=False)
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    return after[0] if after and after[0] in special else None
