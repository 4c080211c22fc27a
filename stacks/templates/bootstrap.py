"""
What an administrator of the account makes once, by their own right, before the first deployment.

The permissions boundary that every role of ours wears, the role CloudFormation
works as, and the role whoever deploys takes. It is a stack of its own, for a
stack that made the role it is made by could undo its own fences.
"""

from __future__ import annotations

from awacs import cloudformation, dynamodb, ec2messages, ecr, ecs, iam, kms, logs, s3, ssm, ssmmessages
from awacs.aws import StringEquals
from troposphere import Ref, Template
from troposphere.iam import ManagedPolicy, Role

from stacks import naming
from stacks.environment import Environment
from stacks.permissions import PolicyDocument, allow, arn, policy, trust_account, trust_service
from stacks.templates.joints import begin


def build(environment: Environment) -> Template:
    """Build the template of the boundary and of the two roles of a deployment."""
    template = begin(environment, "who deploys")
    boundary = template.add_resource(_boundary(environment))
    cloudformation_role = template.add_resource(_cloudformation_role(environment))
    deploy = template.add_resource(_deploy_role(environment))
    for role in (cloudformation_role, deploy):
        role.DependsOn = [boundary.title]
    template.add_resource(_deploy_policy(environment, deploy))
    return template


def _boundary(environment: Environment) -> ManagedPolicy:
    return ManagedPolicy(
        "Boundary",
        ManagedPolicyName=naming.boundary_name(environment),
        Path=naming.role_path(environment),
        Description="The most that any role of the ingress may ever do, whatever is attached to it",
        PolicyDocument=_bounded(environment),
    )


def _bounded(environment: Environment) -> PolicyDocument:
    bucket = f"arn:{environment.partition}:s3:::{naming.certificate_bucket(environment)}"
    return policy(
        allow("CertificateBucket", [s3.GetObject, s3.GetObjectVersion, s3.PutObject, s3.DeleteObject], f"{bucket}/*"),
        allow("CertificateVersions", [s3.ListBucket, s3.ListBucketVersions], bucket),
        allow("Keys", [kms.Decrypt, kms.GenerateDataKey], arn(environment, "kms", "key/*")),
        allow(
            "Registry",
            [dynamodb.GetItem],
            arn(environment, "dynamodb", f"table/{naming.client_registry_table(environment)}"),
        ),
        allow(
            "Images",
            [ecr.BatchCheckLayerAvailability, ecr.BatchGetImage, ecr.GetDownloadUrlForLayer],
            arn(environment, "ecr", f"repository/{naming.repository(environment)}"),
        ),
        allow(
            "Logs",
            [logs.CreateLogStream, logs.PutLogEvents],
            arn(environment, "logs", f"log-group:{naming.service_log_group(environment)}:*"),
        ),
        allow(
            "Cluster",
            [
                ecs.RegisterContainerInstance,
                ecs.DeregisterContainerInstance,
                ecs.Poll,
                ecs.StartTelemetrySession,
                ecs.UpdateContainerInstancesState,
                ecs.PutSystemLogEvents,
                ecs.SubmitAttachmentStateChanges,
                ecs.SubmitContainerStateChange,
                ecs.SubmitTaskStateChange,
            ],
            [
                arn(environment, "ecs", f"{kind}/{naming.stack_name(environment, 'capacity')}-*")
                for kind in ("cluster", "container-instance")
            ],
        ),
        allow(
            "BearsNoResource",
            [
                ecr.GetAuthorizationToken,
                ecs.DiscoverPollEndpoint,
                ssm.DescribeAssociation,
                ssm.GetDeployablePatchSnapshotForInstance,
                ssm.GetDocument,
                ssm.DescribeDocument,
                ssm.GetManifest,
                ssm.ListAssociations,
                ssm.ListInstanceAssociations,
                ssm.PutInventory,
                ssm.PutComplianceItems,
                ssm.PutConfigurePackageResult,
                ssm.UpdateAssociationStatus,
                ssm.UpdateInstanceAssociationStatus,
                ssm.UpdateInstanceInformation,
                ssmmessages.CreateControlChannel,
                ssmmessages.CreateDataChannel,
                ssmmessages.OpenControlChannel,
                ssmmessages.OpenDataChannel,
                ec2messages.AcknowledgeMessage,
                ec2messages.DeleteMessage,
                ec2messages.FailMessage,
                ec2messages.GetEndpoint,
                ec2messages.GetMessages,
                ec2messages.SendReply,
            ],
            "*",
        ),
    )


def _cloudformation_role(environment: Environment) -> Role:
    return Role(
        "CloudFormationRole",
        RoleName=naming.role_name(environment, "cloudformation"),
        Path=naming.role_path(environment),
        Description="What CloudFormation may do for the ingress",
        AssumeRolePolicyDocument=trust_service(
            "cloudformation.amazonaws.com", StringEquals({"aws:SourceAccount": environment.account})
        ),
        PermissionsBoundary=naming.boundary_arn(environment),
    )


def _deploy_role(environment: Environment) -> Role:
    return Role(
        "DeployRole",
        RoleName=naming.role_name(environment, "deploy"),
        Path=naming.role_path(environment),
        Description="Who deploys the ingress",
        AssumeRolePolicyDocument=trust_account(environment),
        MaxSessionDuration=3600,
        PermissionsBoundary=naming.boundary_arn(environment),
    )


def _deploy_policy(environment: Environment, role: Role) -> ManagedPolicy:
    execution = naming.role_arn(environment, "cloudformation")
    stacks = arn(environment, "cloudformation", f"stack/{naming.stack_name(environment, '*')}/*")
    return ManagedPolicy(
        "DeployPolicy",
        Roles=[Ref(role)],
        PolicyDocument=policy(
            allow(
                "ChangeStacks",
                [cloudformation.CreateChangeSet],
                stacks,
                when=[StringEquals({"cloudformation:RoleArn": execution})],
            ),
            allow(
                "HandOverToCloudFormation",
                [iam.PassRole],
                execution,
                when=[StringEquals({"iam:PassedToService": "cloudformation.amazonaws.com"})],
            ),
        ),
    )
