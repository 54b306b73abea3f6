import assert from "node:assert/strict";
import test from "node:test";
import { fakeExample, fakeRegistry, loadText } from "../fake-registry.test.ts";
import { loadConfiguration } from "./load-configuration.ts";

const base = fakeExample.split("\n");
/** The example with some lines replaced (by the key they begin with), or added at the end. */
function withLines(...lines: string[]): string {
  const text = [...base];
  for (const line of lines) {
    const key = line.split(" ")[0];
    const at = text.findIndex((other) => other.split(" ")[0] === key);
    if (at < 0) text.push(line);
    else text[at] = line;
  }
  return text.join("\n");
}
const without = (key: string): string =>
  base.filter((line) => line.split(" ")[0] !== key).join("\n");

void test("a complete file is read whole, with no problems (T529, T537, T571)", async () => {
  const { lines, startable, configuration, dropped } = await loadText(fakeExample);
  assert.deepEqual(lines, []);
  assert.equal(startable, true);
  assert.deepEqual(dropped, []);
  assert.deepEqual([...configuration.channels.keys()], ["c1"]);
  assert.deepEqual(configuration.sources.get("r1")?.channels, ["c1"]);
  assert.equal(configuration.sources.get("r1")?.selector.type, "replicating");
  assert.equal(configuration.sinks.get("k1")?.channel, "c1");
  assert.deepEqual(configuration.sources.get("r1")?.options, {
    bind: "0.0.0.0",
    port: 0,
    batchSize: 100,
    basenameHeader: false,
  } as unknown);
});

void test("lists name several of each kind, in their order (T538, T540, T541, T542)", async () => {
  const { configuration, lines } = await loadText(`
    a1.sources = r2   r1
    a1.channels = c1 c2
    a1.sinks = k2 k1 k3
    a1.sinkgroups = g1
    a1.sources.r1.type = org.apache.flume.source.AvroSource
    a1.sources.r1.port = 1
    a1.sources.r1.channels = c2 c1
    a1.sources.r1.interceptors = i2 i1
    a1.sources.r1.interceptors.i1.type = static
    a1.sources.r1.interceptors.i1.value = 1
    a1.sources.r1.interceptors.i2.type = org.apache.flume.interceptor.StaticInterceptor$Builder
    a1.sources.r1.interceptors.i2.value = 2
    a1.sources.r2.type = AVRO
    a1.sources.r2.port = 2
    a1.sources.r2.channels = c1
    a1.channels.c1.type = memory
    a1.channels.c2.type = Memory
    a1.sinks.k1.type = null
    a1.sinks.k1.channel = c1
    a1.sinks.k2.type = logger
    a1.sinks.k2.channel = c1
    a1.sinks.k3.type = null
    a1.sinks.k3.channel = c2
    a1.sinkgroups.g1.sinks = k2 k1
    a1.sinkgroups.g1.processor.type = failover
    a1.sinkgroups.g1.processor.priority.k1 = 5
  `);
  assert.deepEqual(lines, []);
  assert.deepEqual([...configuration.sources.keys()], ["r2", "r1"]);
  assert.deepEqual([...configuration.sinks.keys()], ["k2", "k1", "k3"]);
  const source = configuration.sources.get("r1");
  assert.equal(source?.type, "avro");
  assert.deepEqual(source?.channels, ["c2", "c1"]);
  assert.deepEqual(
    source?.interceptors.map(({ name }) => name),
    ["i2", "i1"],
  );
  const group = configuration.groups.get("g1");
  assert.deepEqual(
    [group?.sinks, group?.channel, group?.processor.type],
    [["k2", "k1"], "c1", "failover"],
  );
});

const oneProblem: { name: string; text: string; want: string; severity?: "warning" | "note" }[] = [
  {
    name: "a misspelt property, with the one that was meant",
    text: withLines("a1.sources.r1.batchSiz = 5"),
    want: "flume.conf:10: a1.sources.r1.batchSiz: unknown property; did you mean batchSize?",
    severity: "warning",
  },
  {
    name: "a misspelt prefix, with the rest of the key carried over",
    text: withLines("a1.sinks.k1.header.env = x"),
    want: "flume.conf:10: a1.sinks.k1.header.env: unknown property; did you mean headers.env?",
    severity: "warning",
  },
  {
    name: "a property that nothing is like",
    text: withLines("a1.sinks.k1.kerberosPrincipal = x"),
    want: "flume.conf:10: a1.sinks.k1.kerberosPrincipal: unknown property",
    severity: "warning",
  },
  {
    name: "a property that means nothing here, with the reason",
    text: withLines("a1.sources.r1.threads = 8"),
    want: "flume.conf:10: a1.sources.r1.threads: one event loop does the work of all threads",
    severity: "note",
  },
  {
    name: "a value that is no number, with what was expected",
    text: withLines("a1.sources.r1.port = http"),
    want: 'flume.conf:5: a1.sources.r1.port: "http" is not a whole number from 0 to 65535',
  },
  {
    name: "a required property that is missing, at its component's type",
    text: without("a1.sources.r1.port"),
    want: "flume.conf:4: a1.sources.r1.port: is required: whole number from 0 to 65535",
  },
  {
    name: "what a component says of its options together",
    text: withLines("a1.sources.r1.port = 1", "a1.sources.r1.bind = nowhere"),
    want: "flume.conf:10: a1.sources.r1.bind: cannot be nowhere",
  },
  {
    name: "a wrong option of a part",
    text: withLines("a1.sinks.k1.serializer.appendNewline = yes"),
    want: 'flume.conf:10: a1.sinks.k1.serializer.appendNewline: "yes" is not a true or false',
  },
  {
    name: "an unknown type of part",
    text: withLines("a1.sinks.k1.serializer = txt"),
    want: 'flume.conf:10: a1.sinks.k1.serializer: "txt" is not a type of serializer that this agent has; did you mean text?',
  },
  {
    name: "a misspelt option of a part",
    text: withLines("a1.sinks.k1.serializer.appendNewLines = true"),
    want: "flume.conf:10: a1.sinks.k1.serializer.appendNewLines: unknown property; did you mean appendNewline?",
    severity: "warning",
  },
  {
    name: "an unknown type, with the nearest",
    text: withLines("a1.sinks.k1.type = loger"),
    want: 'flume.conf:8: a1.sinks.k1.type: "loger" is not a type of sink that this agent has; did you mean logger?',
  },
  {
    name: "an unknown type that nothing is near to, with all there are",
    text: withLines("a1.sinks.k1.type = hive"),
    want: 'flume.conf:8: a1.sinks.k1.type: "hive" is not a type of sink that this agent has; known types: avro, logger, null',
  },
  {
    name: "a class in the wrong package",
    text: withLines("a1.sources.r1.type = com.example.AvroSource"),
    want: 'flume.conf:4: a1.sources.r1.type: "com.example.AvroSource" is not a type of source that this agent has; did you mean AvroSource?',
  },
  {
    name: "a component without a type",
    text: without("a1.sinks.k1.type"),
    want: "flume.conf:8: a1.sinks.k1.type: is required: the type of the sink",
  },
  {
    name: "a source without channels (T550)",
    text: without("a1.sources.r1.channels") + "\na1.sources.r1.channel = c1",
    want: "flume.conf:4: a1.sources.r1.channels: is required: the names of its channels; a source has channels, a sink has a channel",
  },
  {
    name: "a source with an unknown channel",
    text: withLines("a1.sources.r1.channels = c2"),
    want: "flume.conf:6: a1.sources.r1.channels: no channel c2; did you mean c1?",
  },
  {
    name: "channels separated by commas",
    text: withLines("a1.sources.r1.channels = c1,"),
    want: "flume.conf:6: a1.sources.r1.channels: no channel c1,; names are separated by blanks, not commas",
  },
  {
    name: "a sink with an unknown channel",
    text: withLines("a1.sinks.k1.channel = other"),
    want: "flume.conf:9: a1.sinks.k1.channel: no channel other; it has c1",
  },
  {
    name: "a sink with two channels",
    text: withLines("a1.sinks.k1.channel = c1 c1"),
    want: "flume.conf:9: a1.sinks.k1.channel: no channel c1 c1; it has c1; a sink reads one channel",
  },
  {
    name: "a sink without a channel",
    text: without("a1.sinks.k1.channel") + "\na1.sinks.k1.channels = c1",
    want: "flume.conf:8: a1.sinks.k1.channel: is required: the name of its channel; a sink has one channel, not channels",
  },
  {
    name: "a name in a list that has no properties",
    text: withLines("a1.sinks = k1 k2"),
    want: "flume.conf:3: a1.sinks: lists k2, which has no properties",
  },
  {
    name: "a component that no list names",
    text: withLines("a1.sinks.k2.type = null"),
    want: "flume.conf:10: a1.sinks.k2: is left out: a1.sinks does not list it",
    severity: "warning",
  },
  {
    name: "an interceptor that no list names",
    text: withLines("a1.sources.r1.interceptors.i1.type = static"),
    want: "flume.conf:10: a1.sources.r1.interceptors.i1: is left out: a1.sources.r1.interceptors does not list it",
    severity: "warning",
  },
  {
    name: "an interceptor with errors",
    text: withLines(
      "a1.sources.r1.interceptors = i1",
      "a1.sources.r1.interceptors.i1.type = static",
    ),
    want: "flume.conf:11: a1.sources.r1.interceptors.i1.value: is required: text",
  },
  {
    name: "a selector of unknown type",
    text: withLines("a1.sources.r1.selector.type = replicate"),
    want: 'flume.conf:10: a1.sources.r1.selector.type: "replicate" is not a type of selector that this agent has; did you mean replicating?',
  },
  {
    name: "what only the making of a selector shows",
    text: withLines("a1.sources.r1.selector.optional = c1 c7"),
    want: "flume.conf:10: a1.sources.r1.selector.optional: no channel c7 here",
  },
  {
    name: "a channel that nothing uses",
    text: withLines("a1.channels = c1 c2", "a1.channels.c2.type = memory"),
    want: "flume.conf:10: a1.channels.c2: is left out: no source and no sink uses it",
    severity: "warning",
  },
  {
    name: "a channel without a sink",
    text: withLines(
      "a1.channels = c1 c2",
      "a1.channels.c2.type = memory",
      "a1.sources.r1.channels = c1 c2",
    ),
    want: "flume.conf:10: a1.channels.c2: has no sink: it fills up, and then its sources stop",
    severity: "warning",
  },
  {
    name: "a batch that its channel cannot take (T570)",
    text: withLines("a1.sinks.k1.batch-size = 101"),
    want: "flume.conf:10: a1.sinks.k1.batch-size: batches of 101 events do not fit transactionCapacity 100 of channel c1",
  },
  {
    name: "a group word that is misspelt",
    text: withLines("a1.channel.c1.capacity = 5"),
    want: 'flume.conf:10: a1.channel.c1.capacity: "channel" is none of sources, channels, sinks, sinkgroups, configfilters; did you mean a1.channels.c1.capacity?',
    severity: "warning",
  },
  {
    name: "an unknown group word (T536)",
    text: withLines("a1.bogus = x"),
    want: 'flume.conf:10: a1.bogus: "bogus" is none of sources, channels, sinks, sinkgroups, configfilters',
    severity: "warning",
  },
  {
    name: "a key without a dot (T533)",
    text: withLines("a1 = x"),
    want: "flume.conf:10: a1: is not <agent>.<property>: there is no dot in it",
    severity: "warning",
  },
  {
    name: "a key that begins with a dot (T530, T534)",
    text: withLines(".sources = x"),
    want: "flume.conf:10: .sources: names no agent before its first dot",
    severity: "warning",
  },
  {
    name: "a key that ends behind the agent (T535)",
    text: withLines("a1. = x"),
    want: "flume.conf:10: a1.: names no property behind its agent",
    severity: "warning",
  },
  {
    name: "a component's name without a property",
    text: withLines("a1.sinks.k1 = null"),
    want: "flume.conf:10: a1.sinks.k1: is not a1.sinks.<name>.<property>",
    severity: "warning",
  },
  {
    name: "an empty value (T531, T532)",
    text: withLines("a1.sources.r1.bind = "),
    want: "flume.conf:10: a1.sources.r1.bind: has no value and is left out",
    severity: "warning",
  },
  {
    name: "a property given twice",
    text: `${fakeExample}\na1.sources.r1.port = 7`,
    want: "flume.conf:5: a1.sources.r1.port: is given again in line 10, which wins",
    severity: "note",
  },
  {
    name: "a name listed twice",
    text: withLines("a1.sinks = k1 k1"),
    want: "flume.conf:3: a1.sinks: names k1 twice",
    severity: "note",
  },
  {
    name: "an agent's name that is misspelt",
    text: withLines("al.sources.r1.bind = localhost"),
    want: "flume.conf:10: al.sources.r1.bind: belongs to agent al, which lists nothing; did you mean a1?",
    severity: "warning",
  },
  {
    name: "a reference to what is not there",
    text: withLines("a1.sources.r1.bind = ${env:NONE}"),
    want: "flume.conf:10: a1.sources.r1.bind: ${env:NONE} is not defined and stays as it is written",
    severity: "warning",
  },
  {
    name: "a value that refers to itself",
    text: withLines("a1.sources.r1.bind = ${a1.sources.r1.bind}"),
    want: "flume.conf:10: a1.sources.r1.bind: refers to itself: a1.sources.r1.bind -> a1.sources.r1.bind",
  },
  {
    name: "a malformed escape",
    text: withLines("a1.sinks.k1.headers.x = \\u00zz"),
    want: "flume.conf:10: \\u must be followed by four hexadecimal digits",
  },
  {
    name: "a configuration filter",
    text: withLines("a1.configfilters = f1", "a1.configfilters.f1.type = env"),
    want: "flume.conf:11: a1.configfilters.f1: configuration filters are not supported in this version; use ${env:NAME}",
  },
];

for (const { name, text, want, severity } of oneProblem) {
  void test(`the configuration's check reports ${name}`, async () => {
    const { lines, problems, startable } = await loadText(text);
    assert.deepEqual(lines, [want]);
    assert.equal(problems[0]?.severity, severity ?? "error");
    assert.equal(startable, severity !== undefined);
  });
}

void test("all problems come at once, by line, whatever they are of", async () => {
  const { lines, startable } = await loadText(
    withLines(
      "a1.sinks = k1 k9",
      "a1.sources.r1.port = many",
      "a1.channels.c1.type = memry",
      "a1.sinks.k1.typ = null",
    ),
  );
  assert.deepEqual(lines, [
    "flume.conf:3: a1.sinks: lists k9, which has no properties",
    'flume.conf:5: a1.sources.r1.port: "many" is not a whole number from 0 to 65535',
    "flume.conf:6: a1.sources.r1.channels: channel c1 has errors of its own",
    'flume.conf:7: a1.channels.c1.type: "memry" is not a type of channel that this agent has; did you mean memory?',
    "flume.conf:9: a1.sinks.k1.channel: channel c1 has errors of its own",
    "flume.conf:10: a1.sinks.k1.typ: unknown property",
  ]);
  assert.equal(startable, false);
});

void test("an agent that is not there is answered with those that are", async () => {
  const text = "a1.sources = r1\na3.channels = c1\nx.y = 1";
  const { problems, startable } = await loadText(text, { agent: "a2" });
  assert.equal(startable, false);
  assert.match(
    problems.map(({ message }) => message).join("\n"),
    /^no agent a2 in .*flume\.conf; it has a1, a3$/,
  );
});

void test("other agents of the file are left alone", async () => {
  const { lines } = await loadText(
    `${fakeExample}\na2.sources = r9\na2.sources.r9.type = nonsense`,
  );
  assert.deepEqual(lines, []);
});

void test("a later file wins, property by property (T573)", async () => {
  const { configuration, lines } = await loadText([fakeExample, "a1.sources.r1.port = 9\n"]);
  assert.deepEqual(lines, []);
  assert.equal(
    (configuration.sources.get("r1")?.options as { port?: number } | undefined)?.port,
    9,
  );
});

void test("problems of several files come in the order of the files", async () => {
  const { lines } = await loadText([
    `${fakeExample}\na1.sources.r1.bnd = x`,
    "a1.sources.r1.batchsze = 9\n",
  ]);
  assert.deepEqual(lines, [
    "flume.conf:10: a1.sources.r1.bnd: unknown property; did you mean bind?",
    "flume-2.conf:1: a1.sources.r1.batchsze: unknown property; did you mean batchSize?",
  ]);
});

void test("values refer to the environment, to -D words and to plain properties (T575)", async () => {
  const text = withLines(
    "host = h-${env:ZONE}",
    "a1.sources.r1.bind = ${host}",
    "a1.sources.r1.port = ${sys:port}",
  );
  const { configuration, lines } = await loadText(text, {
    env: { ZONE: "z1" },
    defines: new Map([["port", "77"]]),
  });
  assert.deepEqual(lines, []);
  const { bind, port } = configuration.sources.get("r1")?.options as unknown as {
    bind: string;
    port: number;
  };
  assert.deepEqual([bind, port], ["h-z1", 77]);
});

const unreadable: { path: string; want: RegExp }[] = [
  { path: "/nonexistent/flume.conf", want: /^cannot be read: no such file$/ },
  { path: "/dev", want: /^cannot be read: not a file$/ },
  { path: "flume.yaml", want: /^only Java properties files are read/ },
];
for (const { path, want } of unreadable) {
  void test(`a configuration that cannot be read is one problem: ${path}`, async () => {
    const registry = fakeRegistry();
    const loaded = await loadConfiguration({
      files: [path],
      agent: "a1",
      registry,
      mode: "lenient",
    });
    assert.equal(loaded.problems.length, 1);
    assert.equal(loaded.problems[0]?.file, path);
    assert.match(loaded.problems[0]?.message ?? "", want);
    assert.equal(loaded.startable, false);
  });
}
