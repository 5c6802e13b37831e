"""The check of notebook 00: the loop in its order."""

from __future__ import annotations

from checks import Answer, exercise

ORDER = ["prompt", "group", "reward", "advantage", "loss", "step"]
BECAUSE = {  # before what each must stand, and why
    ("prompt", "group"): "the group is sampled FROM the prompt",
    (
        "group",
        "reward",
    ): "what is graded are the group's completions: first they have to be sampled",
    ("reward", "advantage"): "the advantage compares the rewards of a group, so those come first",
    ("advantage", "loss"): "the loss weighs each token with its advantage",
    ("loss", "step"): "the step goes down the loss's gradient",
}


@exercise("00.1", "my_loop")
def loop(answer: Answer) -> str:
    given = answer.value
    answer.need(
        isinstance(given, (list, tuple)) and sorted(map(str, given)) == sorted(ORDER),
        f"my_loop has to hold each of the six words once: {', '.join(sorted(ORDER))}",
    )
    for (first, second), why in BECAUSE.items():
        answer.need(
            given.index(first) < given.index(second), f"{second} stands before {first}: {why}"
        )
    return "right. Every later notebook shows this line, with its own place marked."
