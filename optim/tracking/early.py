"""The mirror's process before there is anything to mirror: MLflow is imported while the study is read and checked.

Imports nothing heavy: a command starts it before its own libraries are loaded.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from optim.errors import SpecError
from optim.spec.secrets import expand
from optim.spec.study import StudySpec
from optim.spec.uris import absolute_uri
from optim.tracking.mirror import early_process
from optim.tracking.settings import MLflowSettings


def resolve_tracking(spec: StudySpec) -> str:
    """[tracking.mlflow] tracking_uri with variables expanded and paths made absolute; "" where nothing is tracked."""
    if not spec.tracking.enabled:
        return ""
    uri = expand(spec.tracking.mlflow.tracking_uri, f"{spec.path}: [tracking.mlflow] tracking_uri")
    return absolute_uri(uri, spec.folder)


@contextlib.contextmanager
def early_mirror(spec: StudySpec) -> Iterator[subprocess.Popen[bytes] | None]:
    """The process, ended at the end; None where nothing is tracked."""
    uri = ""
    with contextlib.suppress(SpecError):  # told with all else that is wrong with the study
        uri = resolve_tracking(spec)
    if not uri:
        yield None
        return
    with early_process(MLflowSettings(uri)) as process:
        yield process
