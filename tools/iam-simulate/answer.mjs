// Answers questions to IAM by @cloud-copilot/iam-simulate, run as a process of its own by `make prove`.
//
// Reads one JSON document: policies by their names, and questions that name them. Writes one answer a line, in the
// order of the questions: Allowed, ImplicitlyDenied or ExplicitlyDenied, or what the evaluator objects to.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const installed = createRequire(join(process.argv[2], 'package.json'));
const { anonymousPrincipal, runSimulation } = installed('@cloud-copilot/iam-simulate');

const { policies, questions } = JSON.parse(readFileSync(0, 'utf8'));
const named = (names) => names.map((name) => ({ name, policy: policies[name] }));

const lines = [];
for (const question of questions) {
  const simulation = {
    request: {
      principal: question.principal ?? anonymousPrincipal,
      action: question.action,
      resource: { resource: question.resource, accountId: question.owner },
      contextVariables: question.context,
    },
    identityPolicies: named(question.identity),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: question.resource_policy ? policies[question.resource_policy] : undefined,
    permissionBoundaryPolicies: question.boundary ? named([question.boundary]) : undefined,
    vpcEndpointPolicies: question.endpoint.length ? named(question.endpoint) : undefined,
  };
  const answer = await runSimulation(simulation, { simulationMode: 'Strict' });
  lines.push(answer.resultType === 'error' ? `error: ${JSON.stringify(answer.errors)}` : answer.overallResult);
}
process.stdout.write(`${lines.join('\n')}\n`);
