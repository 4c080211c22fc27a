from __future__ import annotations

from collections.abc import Callable

from stacks.environment import Environment
from stacks.rules import access_matrix as matrix
from tests.stacks.environments import environment
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, put, statements

BUCKET_POLICY = "AWS::S3::BucketPolicy"
KEY = "AWS::KMS::Key"
ROLE = "AWS::IAM::Role"
MANAGED = "AWS::IAM::ManagedPolicy"
TASK_DEFINITION = "AWS::ECS::TaskDefinition"
STORE = "certificate_store.CertificateBucketPolicy.Properties.PolicyDocument"
CERTIFICATE_KEY = "certificate_store.CertificateKey.Properties.KeyPolicy"
STAGING: Environment = environment("staging")
ROLES = f"arn:aws:iam::{STAGING.account}:role/mtls-ingress/mtls-ingress-staging"


def the_lock(templates: Templates) -> Document:
    """Find the certificate bucket's policy by what it denies."""
    return next(
        policy["Properties"]["PolicyDocument"]
        for policy in templates.resources(BUCKET_POLICY)
        if "NoOtherReadsTheKey" in statements(policy["Properties"]["PolicyDocument"])
    )


def the_keys_lock(templates: Templates) -> Document:
    return next(
        key["Properties"]["KeyPolicy"]
        for key in templates.resources(KEY)
        if "NoOtherReadsWithIt" in statements(key["Properties"]["KeyPolicy"])
    )


def in_the_lock(sid: str, change: Callable[[Document], object]) -> Spoil:
    return lambda templates: change(statements(the_lock(templates))[sid])


def in_the_keys_lock(sid: str, change: Callable[[Document], object]) -> Spoil:
    return lambda templates: change(statements(the_keys_lock(templates))[sid])


def also(value: object) -> Callable[[Document], object]:
    """Let one more pass a lock."""
    return lambda statement: statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"].append(value)


def instead(*values: object) -> Callable[[Document], object]:
    """Let others pass a lock."""
    return lambda statement: statement["Condition"].update(ArnNotLike={"aws:PrincipalArn": list(values)})


def but_also(operator: str, key: str, value: object) -> Callable[[Document], object]:
    """Make a denial depend on one more condition."""
    return lambda statement: statement["Condition"].setdefault(operator, {}).update({key: value})


def become(element: str, value: object) -> Callable[[Document], object]:
    return lambda statement: statement.update({element: value})


def one_more(find: Callable[[Templates], Document], **elements: object) -> Spoil:
    """Add a statement to a policy."""
    return lambda templates: find(templates)["Statement"].append({"Effect": "Allow"} | elements)


def without(find: Callable[[Templates], Document], sid: str) -> Spoil:
    """Take a statement out of a policy."""

    def spoil(templates: Templates) -> None:
        document = find(templates)
        document["Statement"] = [each for each in document["Statement"] if each.get("Sid") != sid]

    return spoil


def granted(sid: str, change: Callable[[Document], object]) -> Spoil:
    """Change a statement of some role's managed policy, by its Sid."""

    def spoil(templates: Templates) -> None:
        documents = [policy["Properties"]["PolicyDocument"] for policy in templates.resources(MANAGED)]
        change(next(found for each in documents if (found := statements(each).get(sid))))

    return spoil


def granted_to_the_task(**elements: object) -> Spoil:
    def spoil(templates: Templates) -> None:
        documents = [policy["Properties"]["PolicyDocument"] for policy in templates.resources(MANAGED)]
        document = next(each for each in documents if "ReadPair" in statements(each))
        document["Statement"].append({"Sid": "More", "Effect": "Allow"} | elements)

    return spoil


def role(kind: str, change: Callable[[Document], object]) -> Spoil:
    def spoil(templates: Templates) -> None:
        found = [each for each in templates.resources(ROLE) if str(each["Properties"]["RoleName"]).endswith(f"-{kind}")]
        change(found[0]["Properties"])

    return spoil


def told(name: str) -> Spoil:
    """Tell the service of nothing by this variable."""

    def spoil(templates: Templates) -> None:
        container = templates.properties(TASK_DEFINITION)["ContainerDefinitions"][0]
        container["Environment"] = [each for each in container["Environment"] if each["Name"] != name]

    return spoil


def both(*spoils: Spoil) -> Spoil:
    def spoil(templates: Templates) -> None:
        for each in spoils:
            each(templates)

    return spoil


def a_second_task_definition(templates: Templates) -> None:
    """Let another task run as another role that the lock lets pass."""
    body = next(
        body for body in templates.bodies.values() if any(r["Type"] == ROLE for r in body["Resources"].values())
    )
    trust = {
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}
        ]
    }
    body["Resources"]["Sidecar"] = {
        "Type": ROLE,
        "Properties": {"RoleName": "sidecar", "AssumeRolePolicyDocument": trust},
    }
    also(f"arn:aws:iam::{STAGING.account}:role/sidecar")(statements(the_lock(templates))["NoOtherReadsTheKey"])


def the_buckets_encryption(templates: Templates) -> Document:
    document = the_lock(templates)
    for body in templates.bodies.values():
        for policy in body["Resources"].values():
            if policy["Type"] == BUCKET_POLICY and policy["Properties"]["PolicyDocument"] is document:
                found: Document = body["Resources"][policy["Properties"]["Bucket"]["Ref"]]["Properties"][
                    "BucketEncryption"
                ]
                return found
    raise LookupError


def no_key_of_its_own(templates: Templates) -> None:
    default = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    the_buckets_encryption(templates)["ServerSideEncryptionConfiguration"] = [default]


def another_policy_for_the_endpoint(templates: Templates) -> None:
    """Forget the certificate bucket in the policy of the VPC's endpoint for S3."""
    for endpoint in templates.resources("AWS::EC2::VPCEndpoint"):
        document = endpoint["Properties"].get("PolicyDocument", {"Statement": []})
        document["Statement"] = [each for each in document["Statement"] if each["Sid"] != "CertificateStore"]


def bounded_by(templates: Templates, *, action: str) -> None:
    """Take an action out of every boundary."""
    for policy in templates.resources(MANAGED):
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if "Roles" not in policy["Properties"] and action in statement["Action"]:
                statement["Action"].remove(action)


def trusted_by_a_service(templates: Templates) -> None:
    trust = {
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}]
    }
    role("certificate-admin", become("AssumeRolePolicyDocument", trust))(templates)


def of_the_deployer(change: Callable[[Document], object]) -> Spoil:
    """Change what lets whoever deploys read the manifest; the task's policy has a statement of that name too."""

    def spoil(templates: Templates) -> None:
        documents = [policy["Properties"]["PolicyDocument"] for policy in templates.resources(MANAGED)]
        found = next(statements(each) for each in documents if {"ReadManifest", "PushImage"} <= set(statements(each)))
        change(found["ReadManifest"])

    return spoil


def no_manifest_for_the_task(templates: Templates) -> None:
    documents = [policy["Properties"]["PolicyDocument"] for policy in templates.resources(MANAGED)]
    found = next(each for each in documents if {"ReadManifest", "ReadPair"} <= set(statements(each)))
    found["Statement"] = [each for each in found["Statement"] if each["Sid"] != "ReadManifest"]


def wider_by_one(statement: Document) -> None:
    """Let a statement on objects of a bucket reach all of it."""
    statement["Resource"] = [f"{statement['Resource'][0].partition('/')[0]}/*"]


def unbound(templates: Templates) -> None:
    """Take the boundary off the task's role, which would hide what its policies say."""
    role("task", lambda found: found.pop("PermissionsBoundary"))(templates)


UNBOUND: Spoil = unbound


CASES = [
    # K4: the bucket's lock
    Case(matrix.three_roles_pass_the_buckets_lock, told("MTLS_CERTIFICATE_BUCKET"), "", "containers are told of"),
    Case(matrix.three_roles_pass_the_buckets_lock, without(the_lock, "NoOtherReadsTheKey"), STORE, "role/Admin passes"),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        lambda templates: templates.remove(BUCKET_POLICY),
        "certificate_store.CertificateBucket",
        "role/Admin passes",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", also(f"{ROLES}-deploy")),
        STORE,
        "who do not deploy",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", instead(f"{ROLES}-task", f"{ROLES}-deploy", f"{ROLES}-break-glass")),
        STORE,
        "-deploy passes",
    ),
    *(
        Case(
            matrix.three_roles_pass_the_buckets_lock,
            in_the_lock("NoOtherReadsTheKey", also(f"{ROLES}-{kind}")),
            STORE,
            f"{kind} passes",
        )
        for kind in ("execution", "instance", "cloudformation")
    ),
    *(
        Case(matrix.three_roles_pass_the_buckets_lock, in_the_lock("NoOtherReadsTheKey", also(who)), STORE, says)
        for who, says in (
            (f"arn:aws:iam::{STAGING.account}:role/ops", "role/ops passes"),
            (f"arn:aws:iam::{STAGING.account}:user/ann", "user/ann passes"),
            (f"arn:aws:iam::{STAGING.account}:root", ":root passes"),
            (f"arn:aws:iam::{STAGING.account}:role/*", "role/x passes"),
            (f"arn:aws:iam::{STAGING.account}:*", "role/x passes"),
            ("arn:aws:iam::*:role/mtls-ingress/*", "passes"),
            ("*", "role/Admin passes"),
        )
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", instead(f"{ROLES}-task")),
        STORE,
        "two roles of people",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", instead(f"{ROLES}-certificate-admin", f"{ROLES}-break-glass")),
        STORE,
        "-task is refused",
    ),
    Case(
        # The session's ARN instead of the role's: nobody passes any more.
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock(
            "NoOtherReadsTheKey", instead(f"arn:aws:sts::{STAGING.account}:assumed-role/mtls-ingress-staging-task/*")
        ),
        STORE,
        "-task is refused",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", become("Condition", {"StringNotLike": {"aws:userid": "AROAEXAMPLE:*"}})),
        STORE,
        "role/Admin passes",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", become("Action", "s3:GetObject")),
        STORE,
        "s3:GetObjectVersion of",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock(
            "NoOtherReadsTheKey",
            lambda found: found.update(Resource=found["Resource"].replace("server/*", "server/key.pem")),
        ),
        STORE,
        "of server/chain.pem",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", become("Effect", "Allow")),
        STORE,
        "role/Admin passes",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", become("Principal", {"AWS": f"{ROLES}-execution"})),
        STORE,
        "role/Admin passes",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", but_also("NotIpAddress", "aws:SourceIp", "203.0.113.0/24")),
        STORE,
        "role/Admin passes",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", but_also("StringNotEquals", "aws:PrincipalTag/team", "sre")),
        STORE,
        "role/Admin passes",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", but_also("BoolIfExists", "aws:ViaAWSService", value=False)),
        STORE,
        "role/Admin passes",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", but_also("NumericLessThanIfExists", "aws:MultiFactorAuthAge", 300)),
        STORE,
        "role/Admin passes",
    ),
    Case(
        # The condition's operator turned round.
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock(
            "NoOtherReadsTheKey", lambda found: found.update(Condition={"ArnLike": found["Condition"]["ArnNotLike"]})
        ),
        STORE,
        "role/Admin passes",
    ),
    Case(
        matrix.three_roles_pass_the_buckets_lock,
        in_the_lock("NoOtherReadsTheKey", become("Condition", {"StringNotEqual": {"aws:PrincipalArn": "*"}})),
        "certificate_store.CertificateBucketPolicy",
        "StringNotEqual is unknown",
    ),
    Case(matrix.three_roles_pass_the_buckets_lock, a_second_task_definition, STORE, "role/sidecar passes"),
    # K4: the key's lock
    Case(
        matrix.three_roles_pass_the_keys_lock,
        without(the_keys_lock, "NoOtherReadsWithIt"),
        CERTIFICATE_KEY,
        "role/Admin passes",
    ),
    Case(
        matrix.three_roles_pass_the_keys_lock,
        in_the_keys_lock("NoOtherReadsWithIt", also(f"{ROLES}-deploy")),
        CERTIFICATE_KEY,
        "who do not deploy",
    ),
    Case(
        matrix.three_roles_pass_the_keys_lock,
        in_the_keys_lock("NoOtherReadsWithIt", lambda found: found["Action"].remove("kms:Decrypt")),
        CERTIFICATE_KEY,
        "role/Admin passes",
    ),
    Case(
        matrix.three_roles_pass_the_keys_lock,
        in_the_keys_lock(
            "NoOtherReadsWithIt", but_also("StringEquals", "kms:ViaService", "s3.us-east-1.amazonaws.com")
        ),
        CERTIFICATE_KEY,
        "passes with kms:Decrypt",
    ),
    Case(
        matrix.three_roles_pass_the_keys_lock,
        no_key_of_its_own,
        "certificate_store.CertificateBucket.Properties.BucketEncryption",
        "no key of the templates",
    ),
    Case(matrix.three_roles_pass_the_buckets_lock, trusted_by_a_service, STORE, "who do not deploy"),
    # K4: who must read, can
    Case(
        matrix.the_readers_really_read,
        granted("ReadPair", lambda found: found["Resource"].pop()),
        "identity.TaskRole",
        "s3:GetObjectVersion",
    ),
    Case(
        matrix.the_readers_really_read,
        granted("ReadPair", become("Action", ["s3:GetObject"])),
        "identity.TaskRole",
        "s3:GetObjectVersion",
    ),
    Case(matrix.the_readers_really_read, no_manifest_for_the_task, "identity.TaskRole", "manifest/server.json"),
    Case(matrix.the_readers_really_read, granted("ReadPair", become("Effect", "Deny")), "identity.TaskRole", "denied"),
    Case(
        matrix.the_readers_really_read,
        granted(
            "DecryptThroughS3", become("Condition", {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}})
        ),
        "identity.",
        "kms:Decrypt",
    ),
    Case(matrix.the_readers_really_read, another_policy_for_the_endpoint, "identity.TaskRole", "endpoint policy"),
    Case(
        # Everybody is bound to the endpoint, the keepers with them.
        matrix.the_readers_really_read,
        in_the_lock("TaskOnlyThroughTheEndpoint", lambda found: found["Condition"].pop("ArnLike")),
        "identity.CertificateAdminRole",
        "TaskOnlyThroughTheEndpoint",
    ),
    Case(
        matrix.the_readers_really_read,
        granted("KeepObjects", become("Action", ["s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject"])),
        STORE,
        "to write the pair",
    ),
    Case(
        matrix.the_readers_really_read,
        lambda templates: bounded_by(templates, action="s3:GetObjectVersion"),
        "identity.TaskRole",
        "boundary",
    ),
    Case(
        # The trap of K9: what holds where the key is absent denies every upload that relies on the bucket's default.
        matrix.the_readers_really_read,
        in_the_lock("OnlyEncryptedByKms", lambda found: found["Condition"].pop("Null")),
        STORE,
        "to write the pair",
    ),
    # K3: who writes
    *(
        Case(matrix.nobody_else_writes_the_pair, spoil, STORE, says)
        for spoil, says in (
            (without(the_lock, "NoOtherWrites"), "role/Admin passes with s3:PutObject"),
            (without(the_lock, "NoOtherDeletes"), "role/Admin passes with s3:DeleteObject"),
            (in_the_lock("NoOtherWrites", also(f"{ROLES}-task")), "-task passes"),
            (in_the_lock("NoOtherWrites", also(f"{ROLES}-deploy")), "-deploy passes"),
            (in_the_lock("NoOtherDeletes", also(f"{ROLES}-*")), "passes with s3:DeleteObject"),
            (
                in_the_lock(
                    "NoOtherWrites", lambda found: found.update(Resource=found["Resource"].replace("/*", "/server/*"))
                ),
                "s3:PutObject of manifest/server.json",
            ),
        )
    ),
    # K4: who deploys
    Case(
        matrix.who_deploys_reads_the_manifest_alone,
        of_the_deployer(become("Resource", "arn:aws:s3:::other/*")),
        "bootstrap.DeployRole",
        "manifest",
    ),
    Case(
        matrix.who_deploys_reads_the_manifest_alone,
        of_the_deployer(lambda found: found.update(Resource=found["Resource"].replace("manifest/server.json", "*"))),
        "bootstrap.DeployImageAndWatch",
        "us-east-1/other",
    ),
    Case(
        matrix.who_deploys_reads_the_manifest_alone,
        of_the_deployer(
            lambda found: found.update(Action=["s3:GetObject", "s3:ListBucket"], Resource="arn:aws:s3:::mtls-*")
        ),
        "bootstrap.DeployImageAndWatch",
        "s3:ListBucket",
    ),
    # K13
    *(
        Case(
            matrix.the_task_may_do_its_work_alone, granted_to_the_task(**elements), "certificate_store.TaskReads", says
        )
        for elements, says in (
            ({"Action": "s3:*", "Resource": "*"}, "s3:*"),
            ({"Action": ["s3:GetObject*"], "Resource": "*"}, "s3:getobject*"),
            ({"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}, "s3:listbucket"),
            ({"Action": "*", "Resource": "*"}, "*"),
            ({"NotAction": "iam:*", "Resource": "*"}, "NotAction"),
            ({"Action": "kms:Decrypt", "NotResource": "arn:aws:kms:us-east-1:1:key/1"}, "NotResource"),
            ({"Action": "secretsmanager:GetSecretValue", "Resource": "*"}, "secretsmanager"),
        )
    ),
    Case(
        matrix.the_task_may_do_its_work_alone,
        role("task", become("ManagedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"])),
        "identity.TaskRole",
        "AdministratorAccess",
    ),
    Case(
        matrix.the_task_may_do_its_work_alone,
        role(
            "task",
            become(
                "Policies",
                [
                    {
                        "PolicyName": "in",
                        "PolicyDocument": {"Statement": {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}},
                    }
                ],
            ),
        ),
        "identity.TaskRole.Properties.Policies.0.PolicyDocument",
        "sqs:*",
    ),
    *(
        Case(matrix.the_task_reaches_its_own_things_alone, both(spoil, UNBOUND), place, says)
        for spoil, place, says in (
            (granted("ReadPair", become("Resource", "*")), "certificate_store.TaskReads", "-2/server/chain.pem"),
            (granted("ReadPair", wider_by_one), "certificate_store.TaskReads", "/other "),
            (granted_to_the_task(Action="s3:ListBucket", Resource="*"), "certificate_store.TaskReads", "s3:ListBucket"),
            (granted_to_the_task(Action="kms:Decrypt", Resource="*"), "certificate_store.", "key/another through s3"),
            (
                both(granted_to_the_task(Action="s3:DeleteObject", Resource="*"), without(the_lock, "NoOtherDeletes")),
                "certificate_store.TaskReads",
                "s3:DeleteObject",
            ),
            (granted("FindClient", become("Resource", "*")), "client_registry.TaskReads", "client-registry-2"),
            (granted("FindClient", lambda found: found["Action"].append("dynamodb:Scan")), "client_registry.", "Scan"),
            (
                granted_to_the_task(Action="dynamodb:Query", Resource="*"),
                "certificate_store.TaskReads",
                "index/by-client",
            ),
            (
                granted("DecryptThroughDynamoDb", lambda found: found.pop("Condition")),
                "client_registry.",
                "kms:Decrypt",
            ),
            (granted("DecryptThroughDynamoDb", become("Resource", "*")), "client_registry.", "key/another"),
            (
                granted(
                    "DecryptThroughDynamoDb", become("Condition", {"StringLike": {"kms:ViaService": "*.amazonaws.com"}})
                ),
                "client_registry.",
                "through ec2.",
            ),
            (granted("DecryptThroughDynamoDb", become("Action", "kms:*")), "client_registry.", "kms:GenerateDataKey"),
        )
    ),
    Case(matrix.the_task_finds_clients, told("MTLS_CLIENT_REGISTRY_TABLE"), "", "containers are told of"),
    Case(matrix.the_task_finds_clients, granted("FindClient", become("Action", "dynamodb:Query")), "identity.TaskRole"),
    Case(
        matrix.the_task_finds_clients,
        granted("DecryptThroughDynamoDb", become("Condition", {"StringEquals": {"kms:ViaService": "dynamodb"}})),
        "identity.TaskRole",
        "kms:Decrypt",
    ),
    # K25, K8
    Case(
        matrix.another_environments_task_is_refused,
        in_the_lock(
            "NoOtherReadsTheKey", also(f"arn:aws:iam::{STAGING.account}:role/mtls-ingress/mtls-ingress-*-task")
        ),
        STORE,
        "mtls-ingress-other-task",
    ),
    Case(
        matrix.another_environments_task_is_refused,
        in_the_keys_lock("NoOtherReadsWithIt", also(f"arn:aws:iam::{STAGING.account}:role/mtls-ingress/*")),
        CERTIFICATE_KEY,
        "mtls-ingress-other-task",
    ),
    Case(
        matrix.the_task_reads_through_its_endpoint_alone,
        without(the_lock, "TaskOnlyThroughTheEndpoint"),
        STORE,
        "internet",
    ),
    Case(
        matrix.the_task_reads_through_its_endpoint_alone,
        in_the_lock("TaskOnlyThroughTheEndpoint", become("Condition", {"Null": {"aws:SourceVpce": "true"}})),
        STORE,
        "through vpce-0aaa",
    ),
    Case(
        matrix.the_task_reads_through_its_endpoint_alone,
        in_the_lock("TaskOnlyThroughTheEndpoint", become("Action", "s3:GetObject")),
        STORE,
        "s3:GetObjectVersion",
    ),
    Case(
        matrix.the_task_reads_through_its_endpoint_alone,
        in_the_lock(
            "TaskOnlyThroughTheEndpoint",
            lambda found: found["Condition"]["ArnLike"].update({"aws:PrincipalArn": "arn:aws:iam::1:role/x"}),
        ),
        STORE,
        "internet",
    ),
    # strangers, and who repairs
    *(
        Case(matrix.strangers_do_nothing, one_more(find, **elements), place, says)
        for find, elements, place, says in (
            (the_lock, {"Principal": "*", "Action": "s3:GetObject", "Resource": "*"}, STORE, "everybody is allowed"),
            (
                the_lock,
                {"Principal": {"AWS": "999999999999"}, "Action": "s3:PutBucketPolicy", "Resource": "*"},
                STORE,
                "999999999999",
            ),
            (
                the_keys_lock,
                {"Principal": {"AWS": "arn:aws:iam::222222222222:root"}, "Action": "kms:*", "Resource": "*"},
                CERTIFICATE_KEY,
                "222222222222:role/Admin is allowed kms:PutKeyPolicy",
            ),
            (
                the_keys_lock,
                {"Principal": {"AWS": "arn:aws:iam::222222222222:role/app"}, "Action": "kms:*", "Resource": "*"},
                CERTIFICATE_KEY,
                "222222222222:role/app is allowed kms:PutKeyPolicy",
            ),
            (
                the_lock,
                {
                    "Principal": "*",
                    "Action": "s3:ListBucket",
                    "Resource": "*",
                    "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1", "aws:SourceVpc": "vpc-1"}},
                },
                STORE,
                "everybody is allowed s3:ListBucket",
            ),
            (
                the_lock,
                {
                    "Principal": "*",
                    "Action": "s3:ListBucket",
                    "Resource": "*",
                    "Condition": {"StringEquals": {"aws:PrincipalAccount": "222222222222"}},
                },
                STORE,
                "222222222222:role/Admin is allowed",
            ),
            (
                the_keys_lock,
                {"Principal": {"AWS": "*"}, "Action": "kms:CreateGrant", "Resource": "*"},
                CERTIFICATE_KEY,
                "all",
            ),
        )
    ),
    Case(
        matrix.strangers_do_nothing,
        put(
            "AWS::DynamoDB::Table",
            "ResourcePolicy.PolicyDocument",
            {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "dynamodb:*", "Resource": "*"}},
        ),
        "client_registry.ClientRegistry",
        "everybody is allowed dynamodb:GetItem",
    ),
    Case(
        matrix.a_buckets_policy_can_be_repaired,
        in_the_lock("NoOtherWrites", lambda found: found.update(Action="s3:*", Resource="*")),
        STORE,
        "role/Admin refused",
    ),
    Case(
        matrix.a_buckets_policy_can_be_repaired,
        in_the_lock("NoOtherForgetsVersions", lambda found: found["Action"].append("s3:DeleteBucketPolicy")),
        STORE,
        "s3:DeleteBucketPolicy to be possible",
    ),
    Case(
        matrix.a_buckets_policy_can_be_repaired,
        granted("KeepBuckets", lambda found: found["Action"].remove("s3:PutBucketPolicy")),
        "certificate_store.",
        "cloudformation refused",
    ),
    Case(
        matrix.a_keys_policy_can_be_repaired,
        in_the_keys_lock("ManagedByTheAccount", become("Principal", {"AWS": f"{ROLES}-break-glass"})),
        CERTIFICATE_KEY,
        ":root refused",
    ),
    Case(
        matrix.a_keys_policy_can_be_repaired,
        in_the_keys_lock("NoOtherReadsWithIt", become("Action", "kms:*")),
        CERTIFICATE_KEY,
        "role/Admin refused",
    ),
    Case(
        matrix.a_keys_policy_can_be_repaired,
        granted("KeepKeys", lambda found: found["Action"].remove("kms:PutKeyPolicy")),
        CERTIFICATE_KEY,
        "cloudformation refused",
    ),
]
