import {
  type CounterGroup,
  createChannelCounters,
  createSinkCounters,
  createSourceCounters,
  type MillraceError,
  observe,
} from "@millrace/core";
import { createCollectingLog } from "@millrace/testing";
import assert from "node:assert/strict";
import { request } from "node:http";
import test, { type TestContext } from "node:test";
import { javaDouble } from "./java-double.ts";
import { createMetricsRegistry } from "./metrics-registry.ts";
import { createMonitoringServer, type Monitored } from "./monitoring-server.ts";
import { readMonitoringSettings } from "./monitoring-settings.ts";

const loopback = { host: "127.0.0.1", port: 0 };

function createMonitored() {
  const source = createSourceCounters();
  const channel = createChannelCounters();
  const sink = createSinkCounters();
  const times = { startTimeMs: 1_700_000_000_000, stopTimeMs: 0 };
  const groups: CounterGroup[] = [
    { kind: "SOURCE", name: "r1", type: "avro", ...times, read: () => ({ ...source }) },
    {
      kind: "CHANNEL",
      name: "c1",
      type: "memory",
      ...times,
      read: () => ({
        ...channel,
        ChannelSize: 1,
        ChannelCapacity: 8,
        ChannelFillPercentage: 12.5,
        Open: true,
      }),
    },
    { kind: "SINK", name: "k1", type: "null", ...times, read: () => ({ ...sink }) },
  ];
  const metrics = createMetricsRegistry();
  const state = { readiness: { ready: true, reason: "ready" }, started: true };
  const monitored: Monitored = {
    agent: "a<1>",
    metrics,
    counterGroups: () => groups,
    readiness: () => state.readiness,
    started: () => state.started,
  };
  return { monitored, source, channel, sink, metrics, state };
}

async function listen(
  context: TestContext,
  monitored: Monitored,
  type: "http" | "prometheus" = "http",
  log = createCollectingLog(),
): Promise<
  (path: string, method?: string) => Promise<{ status: number; type: string; body: string }>
> {
  const server = createMonitoringServer({ ...loopback, type }, monitored, log);
  const port = await server.start();
  context.after(() => server.stop());
  return (path, method = "GET") =>
    new Promise((resolve, reject) => {
      const sent = request({ ...loopback, port, path, method, agent: false }, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text: string) => (body += text));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            type: response.headers["content-type"] ?? "",
            body,
          }),
        );
      });
      sent.on("error", reject).end();
    });
}

void test("/metrics is Flume's JSON, every value as text (T241, T609, T610, T611)", async (context) => {
  const { monitored, source, channel, sink } = createMonitored();
  const get = await listen(context, monitored);
  source.EventReceivedCount = 7;
  channel.EventPutSuccessCount = 6;
  sink.EventDrainSuccessCount = 5;
  const answer = await get("/metrics");
  assert.equal(answer.type, "application/json;charset=utf-8");
  const json = JSON.parse(answer.body) as Record<string, Record<string, string>>;
  assert.deepEqual(Object.keys(json), ["SOURCE.r1", "CHANNEL.c1", "SINK.k1"]);
  const zeroes = (counters: object): Record<string, string> =>
    Object.fromEntries(Object.keys(counters).map((name) => [name, "0"]));
  const common = { StartTime: "1700000000000", StopTime: "0" };
  assert.deepEqual(json["SOURCE.r1"], {
    ...zeroes(source),
    ...common,
    Type: "SOURCE",
    EventReceivedCount: "7",
  });
  assert.deepEqual(json["CHANNEL.c1"], {
    ...zeroes(channel),
    ...common,
    Type: "CHANNEL",
    EventPutSuccessCount: "6",
    ChannelSize: "1",
    ChannelCapacity: "8",
    ChannelFillPercentage: "12.5",
    Open: "true",
  });
  assert.equal(json["SINK.k1"]?.["EventDrainSuccessCount"], "5");
});

for (const [method, number] of [
  ["TRACE", "T242"],
  ["OPTIONS", "T243"],
]) {
  void test(`${method} is forbidden (${number})`, async (context) => {
    const get = await listen(context, createMonitored().monitored);
    assert.equal((await get("/metrics", method)).status, 403);
  });
}

void test("paths know no case, other methods answer, other paths are 404", async (context) => {
  const get = await listen(context, createMonitored().monitored);
  assert.equal((await get("/METRICS?x=1")).status, 200);
  assert.equal((await get("/metrics", "POST")).status, 200);
  assert.equal((await get("/metrics", "HEAD")).body, "");
  assert.equal((await get("/nothing")).status, 404);
  const page = await get("/");
  assert.equal(page.type, "text/html;charset=utf-8");
  assert.match(page.body, /Millrace agent a&#60;1&#62;.*href="\/metrics"/);
});

void test("readiness is 503 with its reason, health is 200 all the same", async (context) => {
  const { monitored, state } = createMonitored();
  const get = await listen(context, monitored);
  assert.deepEqual([(await get("/readyz")).status, (await get("/readyz")).body], [200, "ready\n"]);
  state.readiness = { ready: false, reason: "draining" };
  const answer = await get("/readyz");
  assert.deepEqual([answer.status, answer.body], [503, "draining\n"]);
  assert.equal((await get("/healthz")).status, 200);
});

void test("/startedz is 503 with the reason until all has started, whatever /readyz says then", async (context) => {
  const { monitored, state } = createMonitored();
  const get = await listen(context, monitored);
  state.readiness = { ready: false, reason: "starting: channel c1 is starting" };
  state.started = false;
  const early = await get("/startedz");
  assert.deepEqual([early.status, early.body], [503, "starting: channel c1 is starting\n"]);
  state.started = true;
  state.readiness = { ready: false, reason: "draining" };
  assert.equal((await get("/readyz")).status, 503);
  assert.deepEqual(
    [(await get("/startedz")).status, (await get("/startedz")).body],
    [200, "started\n"],
  );
});

void test("Prometheus gets our metrics, Flume's, and the process's", async (context) => {
  const { monitored, source, metrics } = createMonitored();
  const get = await listen(context, monitored, "prometheus");
  const component = metrics.withLabels({ agent: "a1", component: "k1", type: "avro" });
  const counter = component.counter("millrace_x_total", "Xs.", { reason: "y" });
  metrics.withLabels({ agent: "a1" }).counter("millrace_x_total", "Other help.");
  let size: number | undefined = 3;
  component.gauge("millrace_size", "Size.", () => size);
  const histogram = component.histogram("millrace_seconds", "Seconds.");
  observe(histogram, 0.003);
  observe(histogram, 100);
  counter.value = 5;
  source.EventAcceptedCount = 4;
  const first = await get("/metrics");
  assert.match(first.type, /^text\/plain; version=0\.0\.4/);
  const lines = first.body.split("\n");
  for (const line of [
    "# HELP millrace_x_total Xs.",
    "# TYPE millrace_x_total counter",
    'millrace_x_total{agent="a1",component="k1",type="avro",reason="y"} 5',
    'millrace_x_total{agent="a1"} 0',
    'millrace_size{agent="a1",component="k1",type="avro"} 3',
    'millrace_seconds_bucket{agent="a1",component="k1",type="avro",le="0.001"} 0',
    'millrace_seconds_bucket{agent="a1",component="k1",type="avro",le="0.005"} 1',
    'millrace_seconds_bucket{agent="a1",component="k1",type="avro",le="60"} 1',
    'millrace_seconds_bucket{agent="a1",component="k1",type="avro",le="+Inf"} 2',
    'millrace_seconds_sum{agent="a1",component="k1",type="avro"} 100.003',
    'millrace_seconds_count{agent="a1",component="k1",type="avro"} 2',
    'Flume_EventAcceptedCount_total{component="r1"} 4',
    'Flume_ChannelSize{component="c1"} 1',
    'Flume_Open{component="c1"} 1',
    "# HELP Flume_ChannelSize Flume_ChannelSize",
  ]) {
    assert.ok(lines.includes(line), `no line ${line} in\n${first.body}`);
  }
  assert.doesNotMatch(first.body, /ChannelFillPercentage|StartTime/);
  assert.match(first.body, /process_resident_memory_bytes \d/);
  assert.match(first.body, /nodejs_eventloop_lag_p99_seconds /);
  counter.value = 6;
  size = undefined;
  const second = (await get("/metrics/prometheus")).body;
  assert.match(second, /millrace_x_total\{.*reason="y"\} 6/);
  assert.doesNotMatch(second, /millrace_size\{/);
  assert.equal((await get("/metrics.json")).type, "application/json;charset=utf-8");
});

void test("a metric that cannot be read is left out and said once; the others are shown", async (context) => {
  const { monitored, metrics } = createMonitored();
  const log = createCollectingLog();
  const get = await listen(context, monitored, "prometheus", log);
  const component = metrics.withLabels({ component: "k1" });
  component.gauge("millrace_broken", "Broken.", () => {
    throw new Error("closed");
  });
  component.counter("millrace_backwards_total", "Backwards.").value = -1;
  component.gauge("millrace_whole", "Whole.", () => 7);
  for (let scrape = 0; scrape < 3; scrape++) {
    const { status, body } = await get("/metrics");
    assert.equal(status, 200);
    assert.match(body, /millrace_whole\{component="k1"\} 7/);
    assert.doesNotMatch(body, /^millrace_(broken|backwards_total)\{/m);
  }
  assert.deepEqual(
    log.lines.map(({ message }) => message),
    ["millrace_broken", "millrace_backwards_total"].map((name) => `metric ${name} cannot be read and is left out`), // prettier-ignore
  );
});

void test("a component's name or counters that nobody can show take nothing else away", async (context) => {
  const { monitored, metrics } = createMonitored();
  const log = createCollectingLog();
  const lost: CounterGroup = {
    ...{ kind: "CHANNEL", name: "c2", type: "./mine.js", startTimeMs: 1, stopTimeMs: 0 },
    read: () => {
      throw new Error("closed");
    },
  };
  const counterGroups = () => [lost, ...createMonitored().monitored.counterGroups()];
  const get = await listen(context, { ...monitored, counterGroups }, "prometheus", log);
  const component = metrics.withLabels({ component: "k1" });
  component.gauge("mine-bytes", "Prometheus has no such names.", () => 1);
  component.gauge("mine_bytes", "Nor such labels.", () => 1, { "of-whom": "me" });
  component.histogram("mine-seconds", "Nor of a histogram.");
  component.gauge("millrace_whole", "Whole.", () => 7);
  for (let scrape = 0; scrape < 3; scrape++) {
    const { status, body } = await get("/metrics");
    assert.equal(status, 200);
    assert.match(body, /millrace_whole\{component="k1"\} 7/);
    assert.match(body, /Flume_ChannelSize\{component="c1"\} 1/);
    assert.doesNotMatch(body, /mine/);
    const json = JSON.parse((await get("/metrics.json")).body) as object;
    assert.deepEqual(Object.keys(json), ["SOURCE.r1", "CHANNEL.c1", "SINK.k1"]);
  }
  const said = log.lines.map(({ message }) => message.split(" ")[1]);
  assert.deepEqual(said.sort(), ["CHANNEL.c2", "mine-bytes", "mine-seconds", "mine_bytes"]);
});

void test("the same metric declared again is the same counter, and one kind only", () => {
  const metrics = createMetricsRegistry();
  const own = metrics.withLabels({ component: "r1" });
  assert.equal(own.counter("x_total", "X."), own.counter("x_total", "X."));
  assert.notEqual(own.counter("x_total", "X.", { reason: "a" }), own.counter("x_total", "X."));
  own.gauge("g", "G.", () => 1);
  own.gauge("g", "G.", () => 2);
  assert.deepEqual(
    metrics.families.get("g")?.samples.map(({ read }) => read()),
    [2],
  );
  assert.throws(() => own.gauge("x_total", "X.", () => 1), /declared as a counter and as a gauge/);
});

void test("a monitoring port that is taken is PORT_IN_USE, one that cannot be is LISTEN_FAILED", async (context) => {
  const { monitored } = createMonitored();
  const first = createMonitoringServer(
    { ...loopback, type: "http" },
    monitored,
    createCollectingLog(),
  );
  const port = await first.start();
  context.after(() => first.stop());
  const fails = async (host: string, at: number): Promise<string> => {
    const settings = { type: "http", host, port: at } as const;
    const server = createMonitoringServer(settings, monitored, createCollectingLog());
    return server.start().then(
      () => "listening",
      (error: MillraceError) => error.code,
    );
  };
  assert.equal(await fails("127.0.0.1", port), "PORT_IN_USE");
  assert.equal(await fails("192.0.2.1", 0), "LISTEN_FAILED");
});

const doubles: [number, string][] = [
  [0, "0.0"],
  [12.5, "12.5"],
  [100, "100.0"],
  [0.001, "0.001"],
  [0.00012, "1.2E-4"],
  [9999999, "9999999.0"],
  [10000000, "1.0E7"],
  [Number.MAX_VALUE, "1.7976931348623157E308"],
  [-3, "-3.0"],
  [NaN, "NaN"],
];
for (const [value, want] of doubles) {
  void test(`${value} as a Java double is ${want}`, () => assert.equal(javaDouble(value), want));
}

const settings: { given: Record<string, string>; want: object }[] = [
  { given: {}, want: {} },
  {
    given: { "flume.monitoring.type": "http" },
    want: { settings: { type: "http", host: "0.0.0.0", port: 41414 } },
  },
  {
    given: {
      "flume.monitoring.type": "org.apache.flume.instrumentation.http.PrometheusHTTPMetricsServer",
      "flume.monitoring.port": "0",
      "flume.monitoring.bind": "127.0.0.1",
    },
    want: { settings: { type: "prometheus", host: "127.0.0.1", port: 0 } },
  },
  {
    given: { "flume.monitoring.type": "ganglia" },
    want: { problem: "flume.monitoring.type=ganglia is not supported; it is http or prometheus" },
  },
  {
    given: { "flume.monitoring.type": "http", "flume.monitoring.port": "70000" },
    want: {
      problem: "flume.monitoring.port=70000 is not a port: a whole number from 0 to 65535",
    },
  },
];
for (const { given, want } of settings) {
  void test(`monitoring settings are read from ${JSON.stringify(given)}`, () =>
    assert.deepEqual(readMonitoringSettings(new Map(Object.entries(given))), want));
}
