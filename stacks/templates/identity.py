"""
Who acts: the roles of the task, of ECS, of the container instances, of the certificate's keeper, and for an emergency.

What a role may do to a store is granted by that store's stack, beside what it
opens; here stands only what each role needs to be what it is.
"""

from __future__ import annotations

from awacs import ecr, ecs, logs
from awacs.aws import ArnLike, Bool
from troposphere import GetAtt, Ref, Template
from troposphere.iam import InstanceProfile, ManagedPolicy, Role

from stacks import naming
from stacks.environment import Environment
from stacks.naming import Output
from stacks.permissions import PolicyDocument, allow, arn, policy, trust_account, trust_service, trust_tasks
from stacks.templates.joints import begin, offer


def build(environment: Environment) -> Template:
    """Build the template of the five roles."""
    template = begin(environment, "who acts")
    task = template.add_resource(_task_role(environment))
    execution = template.add_resource(_execution_role(environment))
    template.add_resource(_execution_policy(environment, execution))
    instance = template.add_resource(_instance_role(environment))
    template.add_resource(_instance_policy(environment, instance))
    profile = template.add_resource(
        InstanceProfile("InstanceProfile", Path=naming.role_path(environment), Roles=[Ref(instance)])
    )
    certificate_admin = template.add_resource(_certificate_admin_role(environment))
    break_glass = template.add_resource(_break_glass_role(environment))
    offer(template, Output.TASK_ROLE_NAME, Ref(task))
    offer(template, Output.TASK_ROLE_ARN, GetAtt(task, "Arn"))
    offer(template, Output.EXECUTION_ROLE_ARN, GetAtt(execution, "Arn"))
    offer(template, Output.INSTANCE_PROFILE_ARN, GetAtt(profile, "Arn"))
    offer(template, Output.CERTIFICATE_ADMIN_ROLE_NAME, Ref(certificate_admin))
    offer(template, Output.CERTIFICATE_ADMIN_ROLE_ARN, GetAtt(certificate_admin, "Arn"))
    offer(template, Output.BREAK_GLASS_ROLE_NAME, Ref(break_glass))
    offer(template, Output.BREAK_GLASS_ROLE_ARN, GetAtt(break_glass, "Arn"))
    return template


def _task_role(environment: Environment) -> Role:
    return Role(
        "TaskRole",
        RoleName=naming.role_name(environment, "task"),
        Path=naming.role_path(environment),
        PermissionsBoundary=naming.boundary_arn(environment),
        Description="What the service may do: its stores' stacks say what",
        AssumeRolePolicyDocument=trust_tasks(environment),
    )


def _execution_role(environment: Environment) -> Role:
    return Role(
        "ExecutionRole",
        RoleName=naming.role_name(environment, "execution"),
        Path=naming.role_path(environment),
        PermissionsBoundary=naming.boundary_arn(environment),
        Description="What ECS may do to start a task: fetch its image and write its log",
        AssumeRolePolicyDocument=trust_tasks(environment),
    )


def _execution_policy(environment: Environment, role: Role) -> ManagedPolicy:
    repository = arn(environment, "ecr", f"repository/{naming.repository(environment)}")
    log_group = arn(environment, "logs", f"log-group:{naming.service_log_group(environment)}:*")
    return _managed_policy(
        "ExecutionPolicy",
        role,
        policy(
            # The token is for the registry as a whole and bears no resource (ECR actions table).
            allow("EnterRegistry", [ecr.GetAuthorizationToken], "*"),
            allow(
                "FetchImage",
                [ecr.BatchCheckLayerAvailability, ecr.BatchGetImage, ecr.GetDownloadUrlForLayer],
                repository,
            ),
            allow("WriteLog", [logs.CreateLogStream, logs.PutLogEvents], log_group),
        ),
    )


def _instance_role(environment: Environment) -> Role:
    return Role(
        "InstanceRole",
        RoleName=naming.role_name(environment, "instance"),
        Path=naming.role_path(environment),
        PermissionsBoundary=naming.boundary_arn(environment),
        Description="What a container instance may do: join its cluster and be reached by Session Manager",
        AssumeRolePolicyDocument=trust_service("ec2.amazonaws.com"),
        ManagedPolicyArns=[f"arn:{environment.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"],
    )


def _instance_policy(environment: Environment, role: Role) -> ManagedPolicy:
    """Allow what the ECS agent does, on this environment's clusters: a cluster's name begins with its stack's."""
    clusters = f"cluster/{naming.stack_name(environment, 'capacity')}-*"
    cluster_arn = arn(environment, "ecs", clusters)
    instances = arn(environment, "ecs", clusters.replace("cluster/", "container-instance/", 1) + "/*")
    on_our_cluster = ArnLike({"ecs:cluster": cluster_arn})
    return _managed_policy(
        "InstancePolicy",
        role,
        policy(
            allow("FindEndpoint", [ecs.DiscoverPollEndpoint], "*"),
            allow("JoinCluster", [ecs.RegisterContainerInstance, ecs.DeregisterContainerInstance], cluster_arn),
            allow(
                "ReportToCluster",
                [
                    ecs.Poll,
                    ecs.StartTelemetrySession,
                    ecs.UpdateContainerInstancesState,
                    ecs.PutSystemLogEvents,
                ],
                instances,
                when=[on_our_cluster],
            ),
            allow(
                "ReportState",
                [
                    ecs.SubmitAttachmentStateChanges,
                    ecs.SubmitContainerStateChange,
                    ecs.SubmitTaskStateChange,
                ],
                cluster_arn,
            ),
        ),
    )


def _certificate_admin_role(environment: Environment) -> Role:
    return Role(
        "CertificateAdminRole",
        RoleName=naming.role_name(environment, "certificate-admin"),
        Path=naming.role_path(environment),
        PermissionsBoundary=naming.boundary_arn(environment),
        Description="Who keeps the server's certificate and key; scripts/certificates.py takes this role by itself",
        AssumeRolePolicyDocument=trust_account(environment),
        MaxSessionDuration=3600,
    )


def _break_glass_role(environment: Environment) -> Role:
    """Describe the role for when the bucket's policy or the key shut out everybody; an alarm tells of its every use."""
    return Role(
        "BreakGlassRole",
        RoleName=naming.role_name(environment, "break-glass"),
        Path=naming.role_path(environment),
        PermissionsBoundary=naming.boundary_arn(environment),
        Description="For an emergency: docs/runbooks/break-glass.md; needs MFA, and every use is reported",
        # Bool, not BoolIfExists: credentials without MFA bear no such key at all (IAM guide, global condition keys).
        AssumeRolePolicyDocument=trust_account(environment, Bool({"aws:MultiFactorAuthPresent": True})),
        MaxSessionDuration=3600,
    )


def _managed_policy(title: str, role: Role, document: PolicyDocument) -> ManagedPolicy:
    return ManagedPolicy(title, Path=role.Path, PolicyDocument=document, Roles=[Ref(role)])
