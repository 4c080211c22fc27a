"""
Where templates meet: parameters in, outputs out, by the names in `naming.Output`.

A template takes what another offers and never learns which one; the catalog
joins them. What the environment already knows (somebody else's VPC) is the
parameter's default, and then nobody offers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from troposphere import Output as TemplateOutput
from troposphere import Parameter, Ref, Template

from stacks.environment import Environment, ExistingNetwork
from stacks.naming import Output

_PARAMETER_TYPES: Final[Mapping[Output, str]] = {
    Output.VPC_ID: "AWS::EC2::VPC::Id",
    Output.PUBLIC_SUBNET_IDS: "List<AWS::EC2::Subnet::Id>",
    Output.PRIVATE_SUBNET_IDS: "List<AWS::EC2::Subnet::Id>",
    Output.INSTANCE_SECURITY_GROUP_ID: "AWS::EC2::SecurityGroup::Id",
}
"""Where CloudFormation knows a type it checks the value; all else is text."""


def begin(environment: Environment, what: str) -> Template:
    """Begin the template of a stack; `what` ends the sentence of its description."""
    return Template(Description=f"{environment.project} {environment.name}: {what}")


def take(template: Template, environment: Environment, output: Output) -> Ref:
    """Take what another stack offers, as a parameter of the same name."""
    if output not in template.parameters:
        default = _known(environment).get(output)
        given = {"Default": default} if default is not None else {}
        template.add_parameter(Parameter(str(output), Type=_PARAMETER_TYPES.get(output, "String"), **given))
    return Ref(str(output))


def offer(template: Template, output: Output, value: object) -> None:
    """Offer a value to other stacks and to the deployer."""
    template.add_output(TemplateOutput(str(output), Value=value))


def _known(environment: Environment) -> Mapping[Output, str]:
    network = environment.network
    if not isinstance(network, ExistingNetwork):
        return {}
    return {
        Output.VPC_ID: network.vpc_id,
        Output.PUBLIC_SUBNET_IDS: ",".join(network.public_subnet_ids),
        Output.PRIVATE_SUBNET_IDS: ",".join(network.private_subnet_ids),
    }
