import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { chart, findHelm } from "./harness/render.ts";

const image = "image.repository=registry.example/millrace";

/** What is refused, and what of the fix both messages name: the schema's, and the templates' without it. */
const refused: readonly {
  readonly name: string;
  readonly set: readonly string[];
  readonly release?: string;
  readonly schema?: RegExp;
  readonly template?: RegExp;
}[] = [
  {
    name: "a memory channel under at least once",
    set: ["collector.channel=memory"],
    schema: /'\/guarantee': value must be 'bestEffort, as .*durable or direct/,
    template: /Set guarantee: bestEffort .* or collector\.channel: durable or direct/,
  },
  {
    name: "a durable collector without storage",
    set: ["collector.storage.size="],
    schema: /'\/collector\/storage\/size': value must be 'a size such as 50Gi/,
    template: /set collector\.storage\.size, or collector\.channel: direct/,
  },
  {
    name: "two edges on one state directory",
    set: ["edge.updateStrategy.maxSurge=1"],
    schema: /maxSurge': value must be '0, as two agents.*use edge\.updateStrategy\.maxUnavailable/,
    template: /maxSurge must be 0: .*Use edge\.updateStrategy\.maxUnavailable/,
  },
  {
    name: "plain text that nobody asked for",
    set: ["tls.mode=none"],
    schema:
      /allowPlaintext': value must be 'true, as tls\.mode: none .*chart, secret or certManager/,
    template: /set tls\.allowPlaintext: true .*chart, secret or certManager/,
  },
  {
    name: "sinks of yours without a line",
    set: ["collector.output.preset=conf"],
    schema: /output\/conf': value must be 'the lines of your sinks/,
    template: /preset: conf needs the lines of your sinks in collector\.output\.conf/,
  },
  ...["hdfs", "kafka", "s3", "elasticsearch"].map((preset) => ({
    name: `the sink ${preset}, which is not there`,
    set: [`collector.output.preset=${preset}`],
    schema: /preset': value must be 'files or conf: sinks for .* are not in this version yet/,
    template: new RegExp(`preset: ${preset} is not in this version yet`),
  })),
  {
    name: "files on a volume that goes with its pod",
    set: ["collector.channel=direct"],
    schema: /preset': value must be 'conf, as files .*existingClaim/,
    template: /ReadWriteMany claim in collector\.output\.files\.existingClaim/,
  },
  {
    name: "a durable collector that is scaled away without handing over",
    set: ["collector.autoscaling.enabled=true", "collector.drain.handOver=false"],
    schema: /handOver': value must be 'true, as a durable collector/,
    template: /needs collector\.drain\.handOver: true/,
  },
  {
    name: "an autoscaler with nothing to go by",
    set: [
      "collector.autoscaling.enabled=true",
      "collector.autoscaling.cpuPercent=0",
      "collector.autoscaling.oldestEventAgeSeconds=0",
    ],
    schema:
      /oldestEventAgeSeconds': value must be 'more than 0, or set collector\.autoscaling\.cpuPercent/,
    template: /nothing to go by: set oldestEventAgeSeconds, cpuPercent or both/,
  },
  {
    name: "an autoscaler upside down",
    set: ["collector.autoscaling.min=5", "collector.autoscaling.max=2"],
    template: /min is more than collector\.autoscaling\.max/,
  },
  {
    name: "a volume deleted with the collector that held events there",
    set: ["collector.storage.retain.whenScaled=Delete"],
    schema: /whenScaled': value must be 'Retain, as .*guarantee: bestEffort/,
    template: /Set it to Retain, or guarantee: bestEffort/,
  },
  {
    name: "the node's whole file system, to hold logs in",
    set: ["edge.logs.hold.enabled=true", "edge.logs.path=/logs/"],
    template: /would be the node's whole file system/,
  },
  {
    name: "a grace period apart from the drain's",
    set: ["collector.pod.terminationGracePeriodSeconds=10"],
    schema: /'terminationGracePeriodSeconds' not allowed/,
  },
  ...["edge", "collector"].flatMap((role) =>
    ["conf", "extraConf"].map((key) => ({
      name: `a ConfigMap of yours beside ${role}.${key}`,
      set: ["config.existingConfigMap=mine", `${role}.${key}=x`],
      schema: new RegExp(`'/${role}/${key}': value must be 'empty, as config.existingConfigMap`),
      template: new RegExp(`existingConfigMap and ${role}\\.conf or ${role}\\.extraConf exclude`),
    })),
  ),
  {
    name: "a checksum of a ConfigMap that is not the chart's",
    set: ["config.existingConfigMap=mine", "config.onChange=roll"],
    schema: /'\/config\/onChange': value must be 'reload, as roll cannot see/,
    template: /use config\.onChange: reload/,
  },
  {
    name: "reload and roll at once",
    set: ["config.onChange=both"],
    schema: /'\/config\/onChange': value must be one of 'reload', 'roll'/,
  },
  {
    name: "cert-manager without an issuer",
    set: ["tls.mode=certManager"],
    schema: /issuerRef': value must be '\{name, kind\} of an issuer/,
    template: /set tls\.certManager\.issuerRef\.name/,
  },
  {
    name: "Consul without an address",
    set: ["discovery.type=consul"],
    schema: /address': value must be 'host:port of a Consul agent.*discovery\.type: dns/,
    template: /needs discovery\.consul\.address/,
  },
  {
    name: "a Consul token without a key",
    set: ["discovery.consul.tokenSecret.name=x"],
    template: /tokenSecret needs both name and key/,
  },
  {
    name: "edges with nobody to send to",
    set: ["collector.enabled=false"],
    schema: /standby\/host': value must be 'a host of collectors elsewhere/,
    template: /set edge\.standby\.host, or write edge\.conf/,
  },
  {
    name: "an install of nothing",
    set: ["collector.enabled=false", "edge.enabled=false"],
    schema: /'\/edge\/enabled': value must be 'true, or set collector\.enabled/,
    template: /nothing would be installed/,
  },
  {
    name: "two monitors that count twice",
    set: ["monitoring.serviceMonitor.enabled=true", "monitoring.podMonitor.enabled=true"],
    schema: /podMonitor\/enabled': value must be 'false, as serviceMonitor/,
    template: /count everything twice: enable one of them/,
  },
  {
    name: "no ServiceAccount at all",
    set: ["security.serviceAccount.create=false"],
    schema: /serviceAccount\/name': value must be 'a ServiceAccount of yours/,
    template: /name the one to use in security\.serviceAccount\.name/,
  },
  {
    name: "names that no Service can have",
    set: [],
    release: "4u",
    template: /names of Services begin with a letter. Set fullnameOverride/,
  },
  {
    name: "a Job without an account",
    set: ["security.rbac.create=false"],
    template: /tls\.mode: chart needs .*security\.serviceAccount\.name .*tls\.mode: secret/,
  },
  {
    name: "a rollout of edges that cannot take a single one down",
    set: ["edge.updateStrategy.maxUnavailable=0"],
    schema: /'\/edge\/updateStrategy\/maxUnavailable'/,
    template: /maxUnavailable must be more than 0/,
  },
  {
    name: "a rollout of edges of no share",
    set: ["edge.updateStrategy.maxUnavailable=0%"],
    schema: /'\/edge\/updateStrategy\/maxUnavailable'/,
    template: /maxUnavailable must be more than 0/,
  },
  {
    name: "two servers on one port",
    set: ["monitoring.port=4141"],
    template: /monitoring\.port and collector\.service\.port are both 4141/,
  },
  {
    name: "files that are kept beyond their volume",
    set: ["collector.output.files.retention=10Gi"],
    template: /retention: 10Gi does not fit .*or "all"/,
  },
  {
    name: "a repository with a tag in it",
    set: ["image.repository=registry.example/millrace:1"],
    schema: /'\/image\/repository'/,
  },
  {
    name: "a Consul agent without a port",
    set: ["discovery.type=consul", "discovery.consul.address=consul1"],
    schema: /'\/discovery\/consul\/address'/,
  },
  {
    name: "a name that no object can have",
    set: ["nameOverride=My_App"],
    schema: /'\/nameOverride'/,
  },
  {
    name: "a directory that is not a plain path",
    set: ["edge.stateDir.hostPath=/a: b"],
    schema: /'\/edge\/stateDir\/hostPath'/,
  },
  {
    name: "a key that nobody knows",
    set: ["collector.storge.size=1Gi"],
    schema: /'\/collector': additional properties 'storge' not allowed/,
  },
  {
    name: "a quantity that is none",
    set: ["edge.stateDir.budget=4 gigs"],
    schema: /\/edge\/stateDir\/budget/,
  },
];

for (const { name, set, release = "millrace", schema, template } of refused) {
  void test(`the chart refuses ${name}, and says what to do`, (context) => {
    const helm = findHelm(context);
    if (helm === undefined) return;
    const all = [image, ...set];
    if (schema !== undefined) assert.match(helm.refuses({ set: all, release }), schema);
    if (template !== undefined) {
      assert.match(
        helm.refuses({ set: all, release, skipSchema: true }).replace(/\s+/g, " "),
        template,
      );
    }
  });
}

void test("without an image the chart says how to build and load one", (context) => {
  const says = findHelm(context)?.refuses({});
  if (says === undefined) return;
  assert.match(says, /image\.repository is empty/);
  assert.match(says, /docker build -t REGISTRY\/millrace:\S+ -f deploy\/docker\/Dockerfile \./);
  assert.match(says, /kind load docker-image/);
  assert.match(says, /deploy\/docker\/README\.md/);
});

void test("all that is wrong with values is said at once", (context) => {
  const says = findHelm(context)?.refuses({
    set: [image, "collector.channel=memory", "tls.mode=none", "edge.updateStrategy.maxSurge=1"],
    skipSchema: true,
  });
  if (says === undefined) return;
  assert.equal(says.match(/^- /gm)?.length, 3, says);
});

void test("an older Kubernetes than the chart is held to is refused", (context) => {
  const says = findHelm(context)?.refuses({ set: [image], kubernetes: "1.32.13" });
  if (says === undefined) return;
  assert.match(says, /requires kubeVersion: >=1\.33/);
});

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean;
}

void test("the schema knows exactly the keys that values.yaml has, and no object takes more", () => {
  const schema = JSON.parse(readFileSync(join(chart, "values.schema.json"), "utf8")) as Schema;
  const values = parse(readFileSync(join(chart, "values.yaml"), "utf8")) as unknown;
  let seen = 0;
  const compare = (at: string, { properties, additionalProperties }: Schema, value: unknown) => {
    assert.equal(additionalProperties, false, `${at} takes any key`);
    const given = Object.keys(value as object);
    const known = Object.keys(properties ?? {}).filter((key) => key !== "global");
    assert.deepEqual(known.sort(), given.sort(), at);
    for (const [key, part] of Object.entries(properties ?? {})) {
      if (key === "global") continue;
      seen++;
      const inside = (value as Record<string, unknown>)[key];
      const isEmpty = Object.keys(Object(inside) as object).length === 0;
      if (part.properties !== undefined && !isEmpty) compare(`${at}.${key}`, part, inside);
      else if (part.properties !== undefined) assert.equal(part.additionalProperties, false);
    }
  };
  compare("values", schema, values);
  assert.ok(seen > 120, `compared ${seen} keys only`);
});
