"""What several test files share: a small random model of the real class, and a few problems."""

import functools
import gc
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["RAPO_MINI_CACHE"] = ""  # nothing is known from an earlier test
os.environ["TORCHDYNAMO_DISABLE"] = "1"  # to be ready to compile takes a process two seconds
os.environ["OMP_NUM_THREADS"] = "1"  # of what a test starts, too: a worker stands on each core

import pytest
import torch
from faults.runs import without_picture
from small_models import let_the_adapter_act, save_random_qwen2
from xdist.scheduler import LoadFileScheduling

import policy as policy_room
import problems
from machine.loading import load_tokenizer
from settings import BUNDLED_BASE
from watch import forks

WATCHED = forks.OF_EACH_KIND
forks.OF_EACH_KIND = 1  # puzzles that each run looks at exactly, beside what it is asked to do

LONGEST = (  # each half a minute or more, in this order; the rest takes seconds
    "notebooks/test_notebooks.py",
    "scale/test_trainer.py",
    "faults/test_disk.py",
    "faults/test_stopping.py",
    "faults/test_merging.py",
    "compare/test_compare.py",
    "tests/test_rapo_mini.py",
    "watch/test_recorder.py",
    "watch/test_tracer.py",
    "benchmarks/test_gpu_benchmark.py",
    "tests/test_own_task.py",
    "watch/test_evaluations.py",
    "machine/test_real_model.py",
    "use/test_push.py",
    "watch/test_trace_page.py",
    "use/test_talk.py",
    "benchmarks/test_evening.py",
)


def pytest_collection_modifyitems(items):
    """The longest files first, so that workers side by side end at about the same time."""

    def rank(item):
        ends = (item.path.as_posix().endswith(name) for name in LONGEST)
        return next((place for place, it_is in enumerate(ends) if it_is), len(LONGEST))

    items.sort(key=rank)  # within a file and among the rest the order stays


PIECES = (  # tests of files that one worker alone would be the last to finish
    "test_a_notebook_runs_and_says_what_is_saved_in_it",
)


class ByFile(LoadFileScheduling):
    """A file to a worker, since what its tests share is made there once; PIECES go one by one."""

    def _split_scope(self, nodeid):
        file, _, name = nodeid.partition("::")
        return nodeid if name.startswith(PIECES) else file


def pytest_xdist_make_scheduler(config, log):
    """For `--dist loadfile` alone; with another word xdist does what that word says."""
    return ByFile(config, log) if config.option.dist == "loadfile" else None


@pytest.fixture
def all_watched(monkeypatch):
    """For a test that compares with a process of its own: a run looks at as many puzzles as there."""
    monkeypatch.setattr(forks, "OF_EACH_KIND", WATCHED)
    forks.watched_puzzles.cache_clear()
    yield
    forks.watched_puzzles.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)  # the models are so small that a second thread only waits


@pytest.fixture(scope="module", autouse=True)
def imports_are_set_aside():
    """Libraries are hundreds of thousands of objects, which each garbage collection would visit."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def puzzles_are_drawn_once():
    """A run draws 1,600 of them, the same for the same seed (`worlds/test_puzzles.py`)."""
    made = functools.cache(problems.bundled.puzzles)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problems.bundled, "puzzles", lambda *asked: list(made(*asked)))
        yield


@pytest.fixture
def no_picture(monkeypatch):
    """For files with many runs: curves.png, a second of each, is a word (`watch/test_figures.py`)."""
    without_picture(monkeypatch)


@pytest.fixture(scope="session")
def small_base(tmp_path_factory):
    """A folder with a random Qwen2 and the bundled tokenizer."""
    tokenizer = load_tokenizer(str(BUNDLED_BASE))
    far_from_uniform = {"initializer_range": 0.12}  # so that differences would show
    return save_random_qwen2(tmp_path_factory.mktemp("small_base"), tokenizer, **far_from_uniform)


@pytest.fixture(scope="session")
def qwen_like_base(tmp_path_factory):
    """A folder with a random model of Qwen2.5's shape and its kind of tokenizer.

    That is byte-level subwords, and embeddings that are padded past the vocabulary.
    """
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("qwen_like_base")
    subwords = ByteLevelBPETokenizer()
    texts = [
        "The answer is \\boxed{12}. Let us add the numbers, step by step.\n\n",
        "2, 5, 8, 11 €",
    ]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    subwords.train_from_iterator(texts * 20, vocab_size=320, special_tokens=special)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=subwords._tokenizer, eos_token=special[0], pad_token=special[0]
    )
    shape = {"vocab_size": len(tokenizer) + 25, "hidden_size": 32, "intermediate_size": 64}
    shape |= {"max_position_embeddings": 2048, "tie_word_embeddings": True}
    return save_random_qwen2(folder, tokenizer, initializer_range=0.1, **shape)


@pytest.fixture
def small_policy(small_base):
    """The small model with an adapter that does something."""
    return let_the_adapter_act(policy_room.load_policy(str(small_base), lora_r=4))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The folder of a run of three steps on the bundled base, measured to its end: runs/my-run."""
    import rapo_mini
    from settings import Settings

    out = tmp_path_factory.mktemp("finished") / "runs" / "my-run"
    few = {"steps": 3, "prompts": 2, "group_size": 4, "eval_problems": 4, "eval_samples": 2}
    assert rapo_mini.main(Settings(**few, lr=0.02, threads=1, show_every=0, out=str(out))) == 0
    return out


PROMPTS = ["What comes next: 2, 5, 8, 11?\n", "What comes next: 3/4, 5/4?\n", "1, 2\n"]


@pytest.fixture
def prompts(small_policy):
    """Three prompts of three lengths, padded on the left: ids and mask (3, L)."""
    return policy_room.encode_prompts(small_policy, PROMPTS)
