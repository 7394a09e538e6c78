"""The arguments of the Hugging Face Trainer, spelled out, and what could overrule them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_sst2.methods.base import Job
from pytest_sst2.models.library_compat import sampling_arguments
from pytest_sst2.utils.formatting import shorten

if TYPE_CHECKING:
    from transformers import TrainingArguments

# Arguments of the Trainer that decide where it runs and what it reports, but not how it trains.
_NOT_SETTINGS = (
    *("dir", "hub", "log", "report", "run_name", "project", "push", "trackio", "disable_tqdm", "local_rank"),
    "include_num_input_tokens_seen",
)
# A pod or a batch system may set them for other reasons. accelerate takes them for a distributed training.
_LAUNCHER_VARIABLES = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
    *("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"),
)
# accelerate reads them for what the recipe decides: precision, compilation, devices, accumulation, sharding.
_OVERRULING = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_")
# Without a warning: values that change nothing, and settings of accelerate's own output.
_NEUTRAL_VALUES = ("", "0", "false", "no")
_OUTPUT = ("ACCELERATE_LOG", "ACCELERATE_DISABLE_RICH", "ACCELERATE_ENABLE_RICH", "ACCELERATE_DEBUG")


@contextlib.contextmanager
def recipe_decides() -> Iterator[tuple[str, ...]]:
    """Hide environment variables that would overrule the recipe; yield a warning that names them.

    Those of torchrun and MPI are hidden without a word, because accelerate would wait for processes that do not exist.
    The Trainer sets variables itself, which must not reach the next cell.
    """
    before = {name: value for name, value in os.environ.items() if _is_hidden(name)}
    for name in before:
        del os.environ[name]
    overruling = sorted(
        f"{name}={value}"
        for name, value in before.items()
        if name.startswith("ACCELERATE_") and not name.startswith(_OUTPUT) and value.lower() not in _NEUTRAL_VALUES
    )
    try:
        yield (f"ignored, because the recipe decides: {shorten(overruling, 5)}",) if overruling else ()
    finally:
        for name in [name for name in os.environ if _is_hidden(name)]:
            del os.environ[name]
        os.environ |= before


def _is_hidden(name: str) -> bool:
    return name in _LAUNCHER_VARIABLES or name.startswith(_OVERRULING)


def training_arguments(job: Job, scratch: str) -> TrainingArguments:
    """Return the Trainer's arguments, with every default that decides a result spelled out."""
    from transformers import TrainingArguments

    arguments = TrainingArguments(
        output_dir=scratch,  # nothing is written to it
        num_train_epochs=job.recipe.epochs,
        per_device_train_batch_size=job.recipe.batch_size,
        gradient_accumulation_steps=1,
        learning_rate=job.recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=0,
        weight_decay=0.0,
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        max_grad_norm=1.0,
        label_smoothing_factor=0.0,
        optim="adamw_torch_fused" if job.loader.device in ("cpu", "cuda") else "adamw_torch",
        bf16=job.recipe.dtype == "bfloat16",
        fp16=job.recipe.dtype == "float16",
        use_cpu=job.loader.device == "cpu",
        seed=job.seed,
        data_seed=job.seed,
        dataloader_pin_memory=job.loader.device == "cuda",
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="epoch",
        logging_first_step=True,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        log_level="passive" if job.loader.verbose else "error",
        **sampling_arguments(TrainingArguments, group_by_length=job.recipe.group_by_length),
    )
    # With several GPUs in one process the Trainer would spread each batch over them and multiply the batch size.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def effective_settings(arguments: TrainingArguments) -> dict[str, Any]:
    """Return the training arguments that can change a result, as plain values."""
    return {
        name: value
        for name, value in arguments.to_dict().items()
        if isinstance(value, bool | int | float | str) and not any(word in name for word in _NOT_SETTINGS)
    }
