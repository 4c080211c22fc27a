"""
IAM's answer to a request: an explicit denial first, then who must allow.

In the order of the IAM guide, "Policy evaluation logic":

1. A statement that says Deny, in whatever policy, ends it.
2. A VPC endpoint's policy must allow what comes through it.
3. Within one account an identity policy or the resource's policy is enough;
   between accounts both must allow. A key's policy and a role's trust policy
   must always allow, themselves or by naming the account.
4. A permissions boundary must allow too, except for what a resource's policy
   allows a user, a session or everybody by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from stacks.access.matching import Context, ContextValue
from stacks.access.request import (
    AttachedPolicy,
    Decision,
    Principal,
    PrincipalKind,
    Request,
    ResourcePolicy,
    ResourcePolicyKind,
    Verdict,
)
from stacks.access.statement import Effect, Form, NamedPrincipal, Reach, Statement

_WITH_POLICIES: Final = (PrincipalKind.ROLE, PrincipalKind.USER)
_ALWAYS_FOR_ROOT: Final = ("s3:deletebucketpolicy", "s3:getbucketpolicy", "s3:putbucketpolicy")
"""What no bucket policy can deny its own account's root user (S3 API, PutBucketPolicy)."""
_EVERYBODY: Final = (NamedPrincipal(Form.EVERYBODY, "*"),)
_NEVER_FOR_ROOT: Final = "sts:assumerole"
"""Root credentials cannot be used for it (STS API, AssumeRole)."""
_TYPES: Final = {
    PrincipalKind.ROLE: "AssumedRole",
    PrincipalKind.USER: "User",
    PrincipalKind.ROOT: "Account",
    PrincipalKind.ANONYMOUS: "Anonymous",
}


def evaluate(request: Request, resource_policies: Sequence[ResourcePolicy] = ()) -> Decision:
    """
    Answer a request as IAM does.

    Args:
        request: With every condition key that AWS would send; one left out is an absent key.
        resource_policies: Of what is asked for. A key or a role has one always: without it the answer is for
            something that has none.

    Raises:
        PolicyFaultError: A condition asks for one value of a key that has several.
    """
    asked = _Asked(request, context_of(request))
    denial = _denial(asked, resource_policies)
    if denial is not None:
        return Decision(Verdict.DENIED, denial)
    for policy in request.endpoint_policies:
        if asked.reach_of_resource_policy([policy]).strongest < _needed_of_endpoint(request.principal):
            return Decision(Verdict.NOT_ALLOWED, f"the endpoint policy {policy.name} does not allow it")
    grants = asked.reach_of_resource_policy([each.policy for each in resource_policies])
    if request.principal.kind in _WITH_POLICIES:
        return _for_role_or_user(asked, grants, resource_policies)
    return _for_others(asked, grants, resource_policies)


def context_of(request: Request) -> dict[str, ContextValue]:
    """Gather the condition keys of a request, by their names in lower case."""
    principal = request.principal
    facts: dict[str, ContextValue] = {name.lower(): value for name, value in request.context.items()}
    facts["aws:resourceaccount"] = request.owner
    is_service = principal.kind is PrincipalKind.SERVICE
    if principal.kind is not PrincipalKind.ANONYMOUS:
        facts["aws:principalisawsservice"] = str(is_service).lower()
    if is_service:
        facts["aws:principalservicename"] = principal.arn
    if principal.kind in _TYPES:
        facts["aws:principaltype"] = _TYPES[principal.kind]
    if principal.account:
        facts["aws:principalarn"] = principal.arn
        facts["aws:principalaccount"] = facts["kms:calleraccount"] = principal.account
    if principal.kind is PrincipalKind.USER:
        facts["aws:username"] = principal.arn.rpartition("/")[2]
    return facts


@dataclass(frozen=True, slots=True)
class _Grants:
    """
    What resource policies allow somebody.

    Attributes:
        by: For each reach the first statement that allows.
    """

    by: Mapping[Reach, str]

    @property
    def strongest(self) -> Reach:
        return max(self.by, default=Reach.NOT)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request with all its condition keys."""

    request: Request
    context: Context

    @property
    def is_of_one_account(self) -> bool:
        return self.request.principal.account == self.request.owner

    def covered(self, statement: Statement, effect: Effect) -> bool:
        if statement.effect is not effect:
            return False
        return statement.covers(self.request.action, self.request.resource, self.context)

    def reach_of_resource_policy(self, policies: Iterable[AttachedPolicy]) -> _Grants:
        by: dict[Reach, str] = {}
        for policy in policies:
            for statement in policy.statements:
                reach = _reach(statement, self.request.principal)
                if reach and reach not in by and self.covered(statement, Effect.ALLOW):
                    by[reach] = f"{policy.name}.{statement.name}"
        return _Grants(by)

    def first_of(self, policies: Iterable[AttachedPolicy], effect: Effect) -> str | None:
        """Name the first statement of policies that belong to a principal."""
        for policy in policies:
            for statement in policy.statements:
                if self.covered(statement, effect):
                    return f"{policy.name}.{statement.name}"
        return None


def _needed_of_endpoint(principal: Principal) -> Reach:
    """
    Say how an endpoint's policy must mean somebody: as everybody.

    At a gateway endpoint an account's number means its root user alone, and
    nobody is let through by their ARN (VPC guide, "Control access to VPC
    endpoints using endpoint policies").
    """
    return Reach.ACCOUNT if principal.kind is PrincipalKind.ROOT else Reach.DIRECT


def _denial(asked: _Asked, resource_policies: Sequence[ResourcePolicy]) -> str | None:
    request, principal = asked.request, asked.request.principal
    if principal.kind in _WITH_POLICIES:
        bounds = [] if principal.boundary is None else [principal.boundary]
        own = asked.first_of([*principal.policies, *bounds], Effect.DENY)
        if own is not None:
            return own
    policies = [*request.endpoint_policies, *(each.policy for each in resource_policies)]
    if _is_repair_by_root(asked):
        policies = list(request.endpoint_policies)
    for policy in policies:
        for statement in policy.statements:
            if _reach(statement, principal) and asked.covered(statement, Effect.DENY):
                return f"{policy.name}.{statement.name}"
    return None


def _is_repair_by_root(asked: _Asked) -> bool:
    is_root = asked.request.principal.kind is PrincipalKind.ROOT and asked.is_of_one_account
    return is_root and asked.request.action.lower() in _ALWAYS_FOR_ROOT


# -- who must allow --------------------------------------------------------------------


def _for_role_or_user(asked: _Asked, grants: _Grants, resource_policies: Sequence[ResourcePolicy]) -> Decision:
    principal = asked.request.principal
    identity = asked.first_of(principal.policies, Effect.ALLOW)
    boundary = principal.boundary
    is_bounded = boundary is not None and asked.first_of([boundary], Effect.ALLOW) is None
    if asked.is_of_one_account and Reach.DIRECT in grants.by:
        return Decision(Verdict.ALLOWED, grants.by[Reach.DIRECT])
    missing = _missing(asked, grants, resource_policies, has_identity=identity is not None)
    if missing is not None:
        return Decision(Verdict.NOT_ALLOWED, missing)
    if is_bounded and boundary is not None:
        return Decision(Verdict.NOT_ALLOWED, f"the boundary {boundary.name} does not allow it")
    return Decision(Verdict.ALLOWED, identity or grants.by[grants.strongest])


def _missing(
    asked: _Asked, grants: _Grants, resource_policies: Sequence[ResourcePolicy], *, has_identity: bool
) -> str | None:
    """Say which policy would have to allow it beside what does; None if nothing is missing."""
    is_enough = asked.is_of_one_account and grants.strongest > Reach.ACCOUNT
    if not has_identity and not is_enough:
        return f"no policy of {asked.request.principal.arn} allows {asked.request.action}"
    needs_resource = not asked.is_of_one_account or _decides_alone(resource_policies)
    if needs_resource and grants.strongest is Reach.NOT:
        return _nothing_of_the_resource(asked, resource_policies)
    return None


def _for_others(asked: _Asked, grants: _Grants, resource_policies: Sequence[ResourcePolicy]) -> Decision:
    kind = asked.request.principal.kind
    match kind:
        case PrincipalKind.ROOT:
            if asked.request.action.lower() == _NEVER_FOR_ROOT:
                return Decision(Verdict.NOT_ALLOWED, "the root user takes no role")
            if asked.is_of_one_account and not _decides_alone(resource_policies):
                return Decision(Verdict.ALLOWED, "the root user of the account")
            needed = Reach.ACCOUNT
        case PrincipalKind.SERVICE | PrincipalKind.FEDERATED | PrincipalKind.ANONYMOUS:
            needed = Reach.DIRECT
        case PrincipalKind.ROLE | PrincipalKind.USER:
            raise AssertionError(kind)
        case _:
            assert_never(kind)
    if grants.strongest >= needed:
        return Decision(Verdict.ALLOWED, grants.by[grants.strongest])
    return Decision(Verdict.NOT_ALLOWED, _nothing_of_the_resource(asked, resource_policies))


def _decides_alone(resource_policies: Sequence[ResourcePolicy]) -> bool:
    return any(each.kind is not ResourcePolicyKind.OTHER for each in resource_policies)


def _nothing_of_the_resource(asked: _Asked, resource_policies: Sequence[ResourcePolicy]) -> str:
    who = asked.request.principal.arn or "everybody"
    names = " or ".join(each.policy.name for each in resource_policies)
    policy = names or f"{asked.request.resource}, which has no policy,"
    return f"no statement of {policy} allows {who} {asked.request.action}"


# -- whom a statement means --------------------------------------------------------------


def _reach(statement: Statement, principal: Principal) -> Reach:
    named = statement.principals or ()
    if named == _EVERYBODY and not statement.are_excepted:
        return Reach.DIRECT
    if statement.are_excepted:
        return Reach.NOT if _is_excepted(named, principal) else Reach.DIRECT
    return max((_reach_of(each, principal) for each in named), default=Reach.NOT)


def _reach_of(named: NamedPrincipal, principal: Principal) -> Reach:
    match named.form:
        case Form.EVERYBODY:
            return Reach.DIRECT
        case Form.ACCOUNT:
            return Reach.ACCOUNT if principal.account == named.value else Reach.NOT
        case Form.ROLE:
            is_meant = principal.kind is PrincipalKind.ROLE and principal.arn == named.value
            return Reach.ROLE if is_meant else Reach.NOT
        case Form.USER:
            is_meant = principal.kind is PrincipalKind.USER and principal.arn == named.value
        case Form.SESSION:
            is_meant = principal.session_arn == named.value
        case Form.SERVICE:
            is_meant = principal.kind is PrincipalKind.SERVICE and principal.arn == named.value
        case Form.FEDERATED:
            is_meant = principal.kind is PrincipalKind.FEDERATED and principal.arn == named.value
        case _:
            assert_never(named.form)
    return Reach.DIRECT if is_meant else Reach.NOT


def _is_excepted(excepted: Sequence[NamedPrincipal], principal: Principal) -> bool:
    """
    Say whether NotPrincipal leaves somebody out: only if it names the account, the role and the session all.

    Whoever has a boundary is never left out (IAM guide, "AWS JSON policy
    elements: NotPrincipal", "Permissions boundaries for IAM entities").
    """
    if any(named.form is Form.EVERYBODY for named in excepted):
        return True
    if principal.boundary is not None:
        return False
    needed = {
        PrincipalKind.ROLE: {Form.ACCOUNT, Form.ROLE, Form.SESSION},
        PrincipalKind.USER: {Form.ACCOUNT, Form.USER},
        PrincipalKind.ROOT: {Form.ACCOUNT},
        PrincipalKind.SERVICE: {Form.SERVICE},
        PrincipalKind.FEDERATED: {Form.FEDERATED},
        PrincipalKind.ANONYMOUS: {Form.EVERYBODY},
    }[principal.kind]
    return needed <= {named.form for named in excepted if _reach_of(named, principal)}
