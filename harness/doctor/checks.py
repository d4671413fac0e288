"""All checks, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.doctor import data, machine, repository, stores
from harness.doctor.finding import PROBLEM, Finding
from harness.errors import HarnessError
from harness.trackers.mlflow.store import tracking_uri
from harness.util.addresses import without_secrets

CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    machine.python,
    machine.device,
    machine.disk,
    data.tracked,
    data.remote,
    stores.mlflow,
    stores.tensorboard,
    repository.hook,
    repository.secrets,
)


def run_checks() -> Iterator[Finding]:
    """Runs all checks and yields their findings. If a check raises an error, that is a finding, and the others run."""
    for check in CHECKS:
        try:
            yield from check()
        except HarnessError as error:
            yield Finding(check.__name__, PROBLEM, f"{error.what}: {error.why}", error.fix)
        except Exception as error:  # other libraries may raise anything
            text = without_secrets(str(error).strip(), tracking_uri())
            first = (text or type(error).__name__).splitlines()[0]
            yield Finding(check.__name__, PROBLEM, f"{type(error).__name__}: {first}", "harness doctor --debug")
