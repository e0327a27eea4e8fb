"""How much is measured: everything, or (``--quick``) a little of each part."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Plan:
    # compare
    data: tuple[str, ...] = ("citeulike-t", "gowalla")
    rounds: int = 5
    epochs: int = 4  # timed, after one that is not
    torch_pairs: int = 262_144  # instead of epochs, for PyTorch
    torch_batches: tuple[int, ...] = (1024, 4096, 16384, 65536)
    # recall
    recall_data: tuple[str, ...] = ("citeulike-t",)
    seeds: tuple[int, ...] = (0, 1, 2)
    validation_users: int = 2000  # a sample, always the same
    patience: int = 8  # evaluations without a better recall
    evaluations: int = 120  # at most
    # sweeps
    launches: int = 5  # timed, after one that is not
    launch_pairs: int = 400_000  # at most
    dims: tuple[int, ...] = (16, 32, 64, 100, 128, 256, 512)
    negatives: tuple[int, ...] = (1, 5, 20, 100, 512)
    shared_negatives: tuple[int, ...] = (64, 256, 512, 1024)
    batches: tuple[int, ...] = (256, 1024, 4096, 16384, 65536)
    items: tuple[int, ...] = (10_000, 100_000, 1_000_000, 10_000_000)
    pairs: tuple[int, ...] = (100_000, 1_000_000, 10_000_000, 100_000_000)


FULL = Plan()
QUICK = Plan(
    data=("citeulike-t",),
    rounds=2,
    epochs=1,
    torch_pairs=65_536,
    torch_batches=(1024, 65536),
    seeds=(0,),
    validation_users=500,
    patience=3,
    evaluations=12,
    launches=3,
    launch_pairs=100_000,
    dims=(32, 100, 256),
    negatives=(1, 20, 100),
    shared_negatives=(64, 256),
    batches=(1024, 16384),
    items=(10_000, 1_000_000),
    pairs=(100_000, 1_000_000),
)


def on_cuda(plan: Plan) -> Plan:
    """More work for each measurement, and larger batches: a GPU is much faster."""
    return replace(
        plan,
        epochs=10 * plan.epochs,
        torch_pairs=16 * plan.torch_pairs,
        torch_batches=tuple(4 * size for size in plan.torch_batches),
        launch_pairs=2_000_000,
    )
