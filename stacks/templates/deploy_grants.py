"""
What whoever deploys may do: hand stacks to CloudFormation, push the image, and look on.

Everything a stack is made of is made by CloudFormation's role; whoever deploys
cannot make, change or read any of it by themselves, and cannot hand a stack to
another role (CloudFormation guide, service role).
"""

from __future__ import annotations

from awacs import autoscaling, cloudformation, cloudwatch, ecr, ecs, elasticloadbalancing, iam, kms, logs, s3, ssm
from awacs.aws import Action, StringEquals, StringLike

from service import contract
from stacks import naming
from stacks.environment import Environment
from stacks.permissions import PolicyDocument, Statement, allow, arn, policy, withhold
from stacks.templates.execution_words import bucket


def documents(environment: Environment) -> dict[str, PolicyDocument]:
    """Give the policies of the deploy role by the logical ids they go under."""
    return {
        "DeployStacks": policy(*_stacks(environment)),
        "DeployImageAndWatch": policy(*_image(environment), *_watching(environment)),
    }


def _stacks(environment: Environment) -> tuple[Statement, ...]:
    execution = naming.role_arn(environment, "cloudformation")
    store = bucket(environment, naming.certificate_bucket(environment))
    stacks = arn(environment, "cloudformation", f"stack/{naming.stack_name(environment, '*')}/*")
    bootstrap = arn(environment, "cloudformation", f"stack/{naming.stack_name(environment, 'bootstrap')}/*")
    return (
        allow(
            "ChangeStacksAsTheirRole",
            [
                cloudformation.ContinueUpdateRollback,
                cloudformation.CreateChangeSet,
                cloudformation.DeleteStack,
                cloudformation.RollbackStack,
            ],
            stacks,
            when=[StringEquals({"cloudformation:RoleArn": execution})],
        ),
        # None of these names a role: a change set keeps the one it was made with (CloudFormation actions table).
        allow(
            "GoThroughWithIt",
            [
                cloudformation.CancelUpdateStack,
                cloudformation.DeleteChangeSet,
                cloudformation.DescribeChangeSet,
                cloudformation.DescribeStackEvents,
                cloudformation.DescribeStackResources,
                cloudformation.DescribeStacks,
                cloudformation.DetectStackDrift,
                cloudformation.ExecuteChangeSet,
                cloudformation.GetStackPolicy,
                cloudformation.GetTemplate,
                cloudformation.ListChangeSets,
                cloudformation.ListStackResources,
                cloudformation.SetStackPolicy,
                cloudformation.UpdateTerminationProtection,
            ],
            stacks,
        ),
        allow("FindStacks", [cloudformation.DescribeStackDriftDetectionStatus, cloudformation.ListStacks], "*"),
        withhold(
            "LeaveBootstrapAlone",
            [
                cloudformation.CancelUpdateStack,
                cloudformation.ContinueUpdateRollback,
                cloudformation.CreateChangeSet,
                cloudformation.DeleteChangeSet,
                cloudformation.DeleteStack,
                cloudformation.ExecuteChangeSet,
                cloudformation.RollbackStack,
                cloudformation.SetStackPolicy,
                cloudformation.UpdateTerminationProtection,
            ],
            bootstrap,
        ),
        # Templates can open bucket and key to anybody; to whoever deploys they then still are shut.
        withhold(
            "NeverReadTheKey",
            [Action("s3", "GetObject*")],
            [f"{store}/{prefix}*" for prefix in (contract.SERVER_PREFIX, contract.KEY_SET_PREFIX)],
        ),
        withhold("NeverUseAKey", [kms.Decrypt, Action("kms", "ReEncrypt*"), Action("kms", "GenerateDataKey*")], "*"),
        allow(
            "HandOverToCloudFormation",
            [iam.PassRole],
            execution,
            when=[StringEquals({"iam:PassedToService": "cloudformation.amazonaws.com"})],
        ),
        allow("SeeThatTheRoleIsThere", [iam.GetRole], execution),
        allow(
            "PinTheInstancesImage",
            [ssm.GetParameter, ssm.GetParameters],
            f"arn:{environment.partition}:ssm:{environment.region}::parameter/aws/service/ecs/optimized-ami/*",
        ),
    )


def _image(environment: Environment) -> tuple[Statement, ...]:
    repository = arn(environment, "ecr", f"repository/{naming.repository(environment)}")
    return (
        # The token is for the registry as a whole and bears no resource (ECR actions table).
        allow("EnterRegistry", [ecr.GetAuthorizationToken], "*"),
        allow(
            "PushImage",
            [
                ecr.BatchCheckLayerAvailability,
                ecr.BatchGetImage,
                ecr.CompleteLayerUpload,
                ecr.DescribeImages,
                ecr.DescribeImageScanFindings,
                ecr.DescribeRepositories,
                ecr.GetDownloadUrlForLayer,
                ecr.InitiateLayerUpload,
                ecr.PutImage,
                ecr.UploadLayerPart,
            ],
            repository,
        ),
    )


def _watching(environment: Environment) -> tuple[Statement, ...]:
    store = bucket(environment, naming.certificate_bucket(environment))
    capacity = naming.stack_name(environment, "capacity")
    group = arn(environment, "autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{capacity}-*")
    log_groups = arn(environment, "logs", f"log-group:/{environment.project}/{environment.name}/*")
    return (
        # The chain, the pin and the dates; the key and its bucket's other objects are the certificate admin's.
        allow("ReadManifest", [s3.GetObject], f"{store}/{contract.MANIFEST_KEY}"),
        allow(
            "WatchService",
            [
                ecs.DescribeClusters,
                ecs.DescribeContainerInstances,
                ecs.DescribeServiceDeployments,
                ecs.DescribeServices,
                ecs.DescribeTasks,
                ecs.ListContainerInstances,
                ecs.ListServiceDeployments,
                ecs.ListTasks,
            ],
            [
                arn(environment, "ecs", f"cluster/{capacity}-*"),
                *(
                    arn(environment, "ecs", f"{kind}/{capacity}-*/*")
                    for kind in ("container-instance", "service", "service-deployment", "task")
                ),
            ],
        ),
        allow(
            "LookAround",
            [
                autoscaling.DescribeAutoScalingGroups,
                autoscaling.DescribeInstanceRefreshes,
                autoscaling.DescribeScalingActivities,
                ecs.DescribeTaskDefinition,
                elasticloadbalancing.DescribeInstanceHealth,
                elasticloadbalancing.DescribeLoadBalancers,
                logs.DescribeLogGroups,
                cloudwatch.DescribeAlarms,
                cloudwatch.GetMetricData,
            ],
            "*",
        ),
        allow(
            "ReadLogs",
            [logs.DescribeLogStreams, logs.FilterLogEvents, logs.GetLogEvents],
            [log_groups, f"{log_groups}:*"],
        ),
        allow(
            "RollInstances",
            [
                autoscaling.CancelInstanceRefresh,
                Action("autoscaling", "RollbackInstanceRefresh"),
                # A teardown lifts the protection that CloudFormation would wait for.
                autoscaling.SetInstanceProtection,
                autoscaling.StartInstanceRefresh,
            ],
            group,
            when=[StringLike({"aws:ResourceTag/aws:cloudformation:stack-name": capacity})],
        ),
    )
