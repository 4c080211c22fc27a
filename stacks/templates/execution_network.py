"""What CloudFormation may do to network, container instances, cluster, tasks and load balancer."""

from __future__ import annotations

from typing import Final

from awacs import application_autoscaling, autoscaling, ec2, ecs, elasticloadbalancing, logs, route53, ssm
from awacs.aws import ArnLike, ConditionElement, StringEquals

from stacks import naming
from stacks.environment import Environment
from stacks.permissions import Statement, allow, arn
from stacks.templates.execution_words import of, own_stacks

_TAGGED_WHEN_MADE: Final = (
    *("AllocateAddress", "CreateFlowLogs", "CreateInternetGateway", "CreateLaunchTemplate", "CreateNatGateway"),
    *("CreateRouteTable", "CreateSecurityGroup", "CreateSubnet", "CreateVpc", "CreateVpcEndpoint", "RunInstances"),
)
_EC2_KINDS: Final = (
    *("elastic-ip", "internet-gateway", "natgateway", "route-table", "security-group", "security-group-rule"),
    *("subnet", "vpc", "vpc-endpoint", "vpc-flow-log"),
)


def network(environment: Environment) -> tuple[Statement, ...]:
    """Grant the keeping of a network of our own, and of security groups in any."""
    things = [arn(environment, "ec2", f"{kind}/*") for kind in _EC2_KINDS]
    return (
        allow(
            "LookAround",
            of(
                ec2,
                "DescribeAccountAttributes DescribeAddresses DescribeAvailabilityZones DescribeFlowLogs DescribeImages "
                "DescribeInstances DescribeInstanceTypeOfferings DescribeInstanceTypes DescribeInternetGateways "
                "DescribeLaunchTemplateVersions DescribeLaunchTemplates DescribeNatGateways DescribeNetworkAcls "
                "DescribeNetworkInterfaces DescribePrefixLists DescribeRouteTables DescribeSecurityGroupRules "
                "DescribeSecurityGroups DescribeSubnets DescribeTags DescribeVpcAttribute DescribeVpcEndpoints "
                "DescribeVpcEndpointServices DescribeVpcs DescribeVpnGateways GetLaunchTemplateData",
            ),
            "*",
        ),
        allow(
            "Make",
            of(
                ec2,
                "AllocateAddress CreateFlowLogs CreateInternetGateway CreateNatGateway CreateRouteTable "
                "CreateSecurityGroup CreateSubnet CreateVpc CreateVpcEndpoint",
            ),
            things,
        ),
        allow(
            "ChangeOurOwn",
            of(
                ec2,
                "AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress "
                "CreateRoute CreateTags DeleteFlowLogs DeleteInternetGateway DeleteNatGateway DeleteRoute "
                "DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteTags DeleteVpc DeleteVpcEndpoints "
                "DetachInternetGateway DisassociateRouteTable ModifySubnetAttribute ModifyVpcAttribute "
                "ModifyVpcEndpoint ReleaseAddress ReplaceRoute ReplaceRouteTableAssociation "
                "RevokeSecurityGroupEgress RevokeSecurityGroupIngress UpdateSecurityGroupRuleDescriptionsEgress "
                "UpdateSecurityGroupRuleDescriptionsIngress",
            ),
            things,
            when=[own_stacks(environment)],
        ),
        allow(
            "TagWhatIsMade",
            [ec2.CreateTags],
            [*things, *(arn(environment, "ec2", f"{kind}/*") for kind in ("instance", "launch-template", "volume"))],
            when=[StringEquals({"ec2:CreateAction": list(_TAGGED_WHEN_MADE)})],
        ),
        allow("DeliverFlowLogs", of(logs, "CreateLogDelivery DeleteLogDelivery"), "*"),
    )


def capacity(environment: Environment) -> tuple[Statement, ...]:
    """Grant the keeping of the group, its launch template, the cluster and what runs in it."""
    stack = naming.stack_name(environment, "capacity")
    cluster = f"cluster/{stack}-*"
    instances = ("instance", "network-interface", "security-group", "subnet", "volume", "launch-template")
    return (
        allow(
            "LookAtGroups",
            of(
                autoscaling,
                "DescribeAutoScalingGroups DescribeAutoScalingInstances DescribeInstanceRefreshes "
                "DescribeLifecycleHooks DescribeLoadBalancerTargetGroups DescribeLoadBalancers "
                "DescribeNotificationConfigurations DescribePolicies DescribeScalingActivities "
                "DescribeScheduledActions DescribeTags DescribeTrafficSources DescribeWarmPool",
            ),
            "*",
        ),
        allow(
            "KeepGroup",
            of(
                autoscaling,
                "CancelInstanceRefresh CreateAutoScalingGroup CreateOrUpdateTags DeleteAutoScalingGroup "
                "DeleteLifecycleHook DeleteNotificationConfiguration DeleteTags DisableMetricsCollection "
                "EnableMetricsCollection PutLifecycleHook PutNotificationConfiguration ResumeProcesses "
                "StartInstanceRefresh SuspendProcesses UpdateAutoScalingGroup",
            ),
            arn(environment, "autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{stack}-*"),
        ),
        # A template's tags are its own: CloudFormation puts none on it (its resource schema, tagging).
        allow(
            "KeepLaunchTemplate",
            of(ec2, "CreateLaunchTemplate CreateLaunchTemplateVersion DeleteLaunchTemplate"),
            arn(environment, "ec2", "launch-template/*"),
        ),
        # The group's maker must be able to start what it starts (Auto Scaling guide, launch template support).
        allow(
            "StartByLaunchTemplate",
            [ec2.RunInstances],
            [
                *(arn(environment, "ec2", f"{kind}/*") for kind in instances),
                f"arn:{environment.partition}:ec2:{environment.region}::image/*",
            ],
            when=[ArnLike({"ec2:LaunchTemplate": arn(environment, "ec2", "launch-template/*")})],
        ),
        allow(
            "FindImage",
            [ssm.GetParameters],
            f"arn:{environment.partition}:ssm:{environment.region}::parameter/aws/service/ecs/optimized-ami/*",
        ),
        allow(
            "KeepCluster",
            of(
                ecs,
                "CreateCluster CreateService DeleteCapacityProvider DeleteCluster DeleteService "
                "DescribeCapacityProviders DescribeClusters DescribeServiceDeployments DescribeServices "
                "ListServiceDeployments ListTagsForResource PutClusterCapacityProviders StopServiceDeployment "
                "TagResource UntagResource UpdateCapacityProvider UpdateCluster UpdateClusterSettings UpdateService",
            ),
            [
                arn(environment, "ecs", cluster),
                arn(environment, "ecs", f"capacity-provider/{stack}-*"),
                *(arn(environment, "ecs", f"{kind}/{stack}-*/*") for kind in ("service", "service-deployment")),
                arn(environment, "ecs", f"task-definition/{naming.service_name(environment)}:*"),
            ],
        ),
        # None of these bears a resource (ECS actions table).
        allow(
            "KeepTaskDefinition",
            of(
                ecs,
                "CreateCapacityProvider DeregisterTaskDefinition DescribeTaskDefinition RegisterTaskDefinition",
            ),
            "*",
        ),
    )


def ingress(environment: Environment) -> tuple[Statement, ...]:
    """Grant the keeping of the load balancer, its name, and the scaling behind it."""
    balancer = arn(environment, "elasticloadbalancing", "loadbalancer/*")
    target = arn(environment, "application-autoscaling", "scalable-target/*")
    ecs_alone = StringEquals({"application-autoscaling:service-namespace": "ecs"})
    statements = [
        allow(
            "LookAtLoadBalancers",
            of(
                elasticloadbalancing,
                "DescribeInstanceHealth DescribeLoadBalancerAttributes DescribeLoadBalancerPolicies "
                "DescribeLoadBalancers DescribeTags",
            ),
            "*",
        ),
        allow("MakeLoadBalancer", [elasticloadbalancing.CreateLoadBalancer], balancer),
        allow(
            "KeepOurLoadBalancer",
            of(
                elasticloadbalancing,
                "AddTags ApplySecurityGroupsToLoadBalancer AttachLoadBalancerToSubnets ConfigureHealthCheck "
                "CreateLoadBalancerListeners CreateLoadBalancerPolicy DeleteLoadBalancer DeleteLoadBalancerListeners "
                "DeleteLoadBalancerPolicy DetachLoadBalancerFromSubnets ModifyLoadBalancerAttributes RemoveTags "
                "SetLoadBalancerPoliciesForBackendServer SetLoadBalancerPoliciesOfListener",
            ),
            balancer,
            when=[own_stacks(environment)],
        ),
        allow("TagLoadBalancer", [elasticloadbalancing.AddTags], balancer, when=[_made_by("CreateLoadBalancer")]),
        allow(
            "LookAtScaling",
            of(
                application_autoscaling,
                "DescribeScalableTargets DescribeScalingPolicies DescribeScheduledActions",
            ),
            "*",
        ),
        allow(
            "ScaleTasks",
            of(
                application_autoscaling,
                "DeleteScalingPolicy DeregisterScalableTarget PutScalingPolicy RegisterScalableTarget",
            ),
            target,
            when=[ecs_alone],
        ),
        allow("TagScaling", of(application_autoscaling, "ListTagsForResource TagResource UntagResource"), target),
    ]
    zone = environment.ingress.hosted_zone_id
    if zone is not None:
        here = f"arn:{environment.partition}:route53:::"
        statements += [
            allow("FindZone", [route53.ListHostedZones], "*"),
            allow(
                "KeepName",
                of(route53, "ChangeResourceRecordSets GetHostedZone ListResourceRecordSets"),
                f"{here}hostedzone/{zone}",
            ),
            allow("WaitForName", [route53.GetChange], f"{here}change/*"),
        ]
    return tuple(statements)


def _made_by(action: str) -> ConditionElement:
    return StringEquals({"elasticloadbalancing:CreateAction": action})
