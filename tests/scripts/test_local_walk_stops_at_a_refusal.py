"""A walk whose templates are too tight ends with the statement that refuses, not with a service that is not healthy."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from scripts._local_walk import CallRefusedError
from tests.scripts.judged_walk import STORE, changed, grant_no_decryption, new_walk


@pytest.mark.slow  # its small sibling: tests/stacks/local_cloud/authorizer
def test_a_task_that_may_not_decrypt_stops_the_walk(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        run, said = new_walk(stack, tmp_path)
        run.bring_up(announced=False)
        run.target = replace(run.target, catalog=changed(run.target.catalog, STORE, grant_no_decryption))
        run.deploy_and_certify()

        with pytest.raises(CallRefusedError) as caught:
            run.open_ingress(announced=False)

    (refusal,) = caught.value.refusals
    assert "is not authorized to perform: kms:Decrypt on resource" in refusal
    assert "because no identity-based policy allows the kms:Decrypt action" in refusal
    assert f"refused: {refusal}" in said.getvalue()
