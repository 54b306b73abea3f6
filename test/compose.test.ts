/** docker-compose.yml: as the Compose Specification wants it, as we want it, and as processes. */
import { projectRoot } from "@millrace/testing";
import { Ajv2020 } from "ajv/dist/2020.js";
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { interpolate, readComposeFile } from "../scripts/compose-local/compose-file.ts";
import {
  type PlannedProcess,
  planProcesses,
  withFixedCollectors,
} from "../scripts/compose-local/local-plan.ts";

interface Service {
  readonly image: string;
  readonly user?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly logging?: { readonly options: Readonly<Record<string, string>> };
  readonly stop_grace_period?: string;
  readonly command?: readonly string[];
}

const file = join(projectRoot, "docker-compose.yml");
const read = (path: string): string => readFileSync(join(projectRoot, path), "utf8");
const compose = parse(interpolate(readFileSync(file, "utf8"), {}), { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
};
const services = Object.entries(compose.services);
const agents = ["edge", "collector-1", "collector-2"];

test("docker-compose.yml fits the Compose Specification's schema", () => {
  const schema = JSON.parse(read("test/fixtures/compose/compose-spec.json")) as object;
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  // Go's durations, not ISO's; the others are of files that we do not write.
  ajv.addFormat("duration", /^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$/);
  for (const format of ["ports", "expose", "subnet_ip_address"]) ajv.addFormat(format, true);
  const validate = ajv.compile(schema);
  assert.equal(validate(compose), true, ajv.errorsText(validate.errors, { separator: "\n" }));
  const broken = { services: { edge: { ...compose.services["edge"], tmpf: ["/tmp"] } } };
  assert.equal(validate(broken), false, "an unknown key is refused");
});

test("docker-compose.yml has an edge, two collectors, Consul, Prometheus and Grafana", () => {
  const names = [...agents, "consul", "prometheus", "grafana"];
  assert.deepEqual(Object.keys(compose.services), names);
});

for (const [name, service] of services) {
  test(`${name} of docker-compose.yml is contained, pinned, healthy or not, and on loopback only`, () => {
    assert.match(service.image, /:v?\d+\.\d+\.\d+$/);
    assert.equal(service.read_only, true);
    assert.deepEqual(service.cap_drop, ["ALL"]);
    assert.deepEqual(service.security_opt, ["no-new-privileges:true"]);
    assert.equal(service.healthcheck?.test[0], "CMD");
    for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/);
    for (const [source = "", target] of (service.volumes ?? []).map((each) => each.split(":"))) {
      assert.match(target ?? "", /^\//);
      const isThere = source.startsWith(".")
        ? existsSync(resolve(projectRoot, source))
        : source in compose.volumes;
      assert.ok(isThere, `${name} mounts ${source}, which is not there`);
    }
  });
}

test("what docker-compose.yml runs fills no disk: channels, files, logs and series have an end", () => {
  const bounds = {
    "deploy/compose/edge.conf": ["channels.disk.byteCapacity"],
    "deploy/compose/collector.conf": [
      "channels.disk.byteCapacity",
      "sinks.out.sink.retentionBytes",
    ],
  };
  for (const [path, names] of Object.entries(bounds)) {
    for (const name of names) assert.match(read(path), new RegExp(`^\\w+\\.${name} = \\d+$`, "m"));
  }
  for (const [name, { logging }] of services) {
    assert.ok(logging?.options["max-size"] !== undefined, `${name} logs without end`);
  }
  const prometheus = compose.services["prometheus"]?.command?.join("\n");
  assert.match(prometheus ?? "", /^--storage\.tsdb\.retention\.size=\d/m);
});

for (const name of agents) {
  test(`${name} of docker-compose.yml has longer to stop than it may take to drain`, () => {
    const { command = [], stop_grace_period: grace = "", build } = compose.services[name]!;
    const drain = /^-Dmillrace\.drainSeconds=(\d+)$/m.exec(command.join("\n"))?.[1];
    assert.ok(Number(grace.replace(/s$/, "")) >= Number(drain) + 30);
    assert.ok(existsSync(join(projectRoot, build?.context ?? "", build?.dockerfile ?? "none")));
  });
}

test("Prometheus of docker-compose.yml asks each agent, and reads the rules that are mounted", () => {
  const config = parse(read("deploy/compose/prometheus.yml")) as {
    rule_files: string[];
    scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
  };
  const targets = config.scrape_configs.flatMap(({ static_configs: all }) =>
    all.flatMap((each) => each.targets),
  );
  assert.deepEqual(
    targets,
    agents.map((name) => `${name}:41414`),
  );
  // The rules speak of jobs that begin so.
  assert.deepEqual(
    config.scrape_configs.map(({ job_name: name }) => name),
    ["millrace"],
  );
  const mounted = compose.services["prometheus"]?.volumes ?? [];
  for (const rules of config.rule_files) {
    assert.ok(
      mounted.some((each) => each.includes(`:${rules}:`)),
      `${rules} is not mounted`,
    );
  }
});

test("a service that is mentioned with a port in a configuration of docker-compose.yml has it", () => {
  const known = readComposeFile(file, {});
  const files = ["edge.conf", "collector.conf", "grafana/datasources/prometheus.yml"];
  let seen = 0;
  for (const name of files) {
    const text = read(`deploy/compose/${name}`).replace(/^#.*$/gm, "");
    for (const [, service, port] of text.matchAll(/(?:=|\/\/)\s*([a-z][a-z0-9-]*):(\d+)/g)) {
      const ports = known.find((each) => each.name === service)?.ports ?? [];
      const has = ports.some(({ container }) => container === Number(port));
      assert.ok(has, `${name} names ${service}:${port}`);
      seen++;
    }
  }
  assert.ok(seen >= 3, `only ${seen} addresses`);
});

const planned = (name: string): PlannedProcess => {
  const plans = planProcesses(readComposeFile(file, { LOGS: "" }), {
    project: "/project",
    state: "/state",
    port: (published) => published + 10_000,
  });
  return plans.find((plan) => plan.name === name)!;
};

test("compose:local runs an agent by its own command line, with mounts and ports of this machine", () => {
  const { words, copies, folders, environment, ports, role } = planned("collector-2");
  assert.equal(role, "agent");
  const configuration = "/state/collector-2/mounted/millrace";
  assert.deepEqual(words.slice(0, 5), [
    ...["agent", "-n", "collector", "-f"],
    `${configuration}/collector.conf`,
  ]);
  assert.ok(words.includes("-Dmillrace.socket=/state/collector-2/millrace/agent.sock"));
  assert.equal(words.at(-1), "-Dflume.monitoring.port=51416");
  assert.deepEqual(copies, [["/project/deploy/compose", configuration]]);
  assert.ok(folders.includes("/state/volumes/collector-2"));
  assert.equal(environment["COLLECTOR_PORT"], "14142");
  assert.equal(environment["COLLECTOR_ADDRESS"], "127.0.0.1");
  assert.deepEqual([...ports], [[41414, 51416], [4141, 14142]]); // prettier-ignore
});

test("compose:local rewrites paths and addresses of a configuration where they stand whole", () => {
  const { rewrite } = planned("edge");
  const cases = [
    ["a = /logs/.*[.]log", "a = /project/examples/logs/.*[.]log"],
    ["a = /var/lib/millrace/channel", "a = /state/volumes/edge/channel"],
    ["consul://c?agent=consul:8500&x=y", "consul://c?agent=127.0.0.1:18500&x=y"],
    ["url: http://prometheus:9090", "url: http://127.0.0.1:19090"],
    ['targets: ["edge:41414"]', 'targets: ["127.0.0.1:51414"]'],
    ["my-edge:41414 /var/logs /logs-old edge:414140", "my-edge:41414 /var/logs /logs-old edge:414140"], // prettier-ignore
  ];
  for (const [given, want] of cases) assert.equal(rewrite(given!), want);
});

test("compose:local gives the edge a fixed list where there is no Consul, and leaves no trace of it", () => {
  const edge = withFixedCollectors(read("deploy/compose/edge.conf"), [
    "127.0.0.1:1",
    "127.0.0.1:2",
  ]);
  assert.match(edge, /^edge\.sinks\.collectors\.hosts = c1 c2$/m);
  assert.match(edge, /^edge\.sinks\.collectors\.hosts\.c2 = 127\.0\.0\.1:2$/m);
  assert.doesNotMatch(edge, /^[^#]*consul/m);
  const collector = withFixedCollectors(read("deploy/compose/collector.conf"), ["127.0.0.1:1"]);
  assert.doesNotMatch(collector, /^[^#]*consul/m);
  assert.match(collector, /^collector\.sources\.in\.port/m);
});

test("variables of docker-compose.yml have the value of the environment, or what stands beside them", () => {
  const text = "${A:-./a} ${B:-b} ${C}";
  assert.equal(interpolate(text, { A: "/x", B: "" }), "/x b ");
});
