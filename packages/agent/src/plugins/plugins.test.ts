import { MillraceError, type SinkContext, type SourceContext } from "@millrace/core";
import { partContext, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { loadConfiguration } from "../config/load-configuration.ts";
import { formatProblem } from "../config/problem.ts";
import { fakeRegistry } from "../fake-registry.test.ts";

interface Wish {
  readonly mode?: "strict" | "lenient";
  readonly pluginFolders?: readonly string[];
}

/** Loads agent a1 from files in a directory of their own; `flume.conf` is the configuration. */
async function load(t: TestContext, files: Record<string, string>, wish: Wish = {}) {
  const directory = await tempDirectory(t);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), content);
  }
  const { mode = "strict", pluginFolders = [] } = wish;
  const loaded = await loadConfiguration({
    files: [join(directory, "flume.conf")],
    agent: "a1",
    registry: fakeRegistry(),
    mode,
    defines: new Map(),
    env: {},
    pluginFolders: pluginFolders.map((folder) => join(directory, folder)),
  });
  const lines = loaded.problems.map((problem) =>
    formatProblem(problem).replaceAll(`${directory}/`, "").replaceAll(`${directory}`, "DIR"),
  );
  return { ...loaded, lines };
}

/** A configuration whose sink has this type, and what else is given. */
function conf(sinkType: string, ...more: string[]): string {
  return [
    "a1.sources = r1",
    "a1.channels = c1",
    "a1.sinks = k1",
    "a1.sources.r1.type = avro",
    "a1.sources.r1.port = 0",
    "a1.sources.r1.channels = c1",
    "a1.channels.c1.type = memory",
    `a1.sinks.k1.type = ${sinkType}`,
    "a1.sinks.k1.channel = c1",
    ...more,
  ].join("\n");
}

const sinkModule = `
import { defineSink, MillraceError, text } from "@millrace/core";
export const sink = defineSink({
  type: "acme",
  aliases: ["com.acme.flume.AcmeSink"],
  summary: "A sink of Acme's.",
  options: { url: text("url", "Where to.", { required: true }) },
  guarantee: { atLeastOnce: true },
  example: "",
  async create({ url }, { name }) {
    if (url === "nowhere") {
      throw new MillraceError("CONFIG_INVALID", "nowhere is no place", { context: { key: "url" } });
    }
    return {
      batchSize: 7,
      deliveriesInFlight: 1,
      start: async () => {},
      stop: async () => {},
      deliver: async () => {},
    };
  },
});
`;

const interceptorModule = `
const { defineInterceptor, text } = require("@millrace/core");
exports.stamp = defineInterceptor({
  type: "stamp",
  options: { value: text("value", "What to write.", { default: "x" }) },
  create: async ({ value }) => ({ edits: () => [{ name: "stamp", value }] }),
});
`;

void test("a sink by path is loaded from beside its configuration file, and its options are checked", async (t) => {
  const files = { "my-sink.js": sinkModule, "package.json": `{"type":"module"}` };
  const good = await load(t, {
    ...files,
    "flume.conf": conf("./my-sink.js", "a1.sinks.k1.url = http://acme"),
  });
  assert.deepEqual([good.lines, good.startable], [[], true]);
  const sink = good.configuration.sinks.get("k1");
  assert.ok(sink !== undefined);
  assert.equal(sink.type, "acme");
  const made = await sink.definition.create(sink.options, partContext() as unknown as SinkContext);
  assert.equal(made.batchSize, 7);

  const slips = await load(t, {
    ...files,
    "flume.conf": conf("./my-sink.js", "a1.sinks.k1.urll = http://acme"),
  });
  assert.deepEqual(slips.lines, [
    "flume.conf:8: a1.sinks.k1.url: is required: text",
    "flume.conf:10: a1.sinks.k1.urll: unknown property; did you mean url?",
  ]);
  const refused = await load(t, {
    ...files,
    "flume.conf": conf("./my-sink.js#sink", "a1.sinks.k1.url = nowhere"),
  });
  assert.deepEqual(
    refused.lines,
    ["flume.conf:10: a1.sinks.k1.url: nowhere is no place"],
    "the plugin's error is of the agent's own class, whichever copy of the core it could have had",
  );
});

void test("an interceptor from a CommonJS module, with what JavaScript leaves out", async (t) => {
  const { lines, configuration } = await load(t, {
    "node_modules/@millrace/core/index.js": `
      const definer = (kind) => (input) => ({ kind, ...input });
      module.exports = { defineInterceptor: definer("interceptor"), text: (key) => ({ key, form: "ignored", description: "" }) };`,
    "stamp.cjs": interceptorModule,
    "flume.conf": conf(
      "null",
      "a1.sources.r1.interceptors = i1",
      "a1.sources.r1.interceptors.i1.type = ./stamp.cjs",
    ),
  });
  assert.deepEqual(lines, []);
  const [interceptor] = configuration.sources.get("r1")?.interceptors ?? [];
  assert.equal(interceptor?.type, "stamp");
  assert.deepEqual(interceptor.definition.aliases, []);
});

const many = `
import * as core from "@millrace/core";
const common = { aliases: [], summary: "", example: "", options: {} };
export const first = core.defineInterceptor({ ...common, type: "one", create: async () => ({ edits: () => [] }) });
export const second = core.defineInterceptor({ ...common, type: "two", create: async () => ({ edits: () => [] }) });
export const route = core.defineSelector({
  ...common, type: "by_lot",
  options: { optional: core.list("optional", "Optional.") },
  create: async () => (batch) => ({ required: new Map(), optional: new Map(), unmatched: batch.length }),
});
export const group = core.defineSinkProcessor({ ...common, type: "mine", create: async (_, { sinks }) => [...sinks.values()][0] });
export const lines = core.defineSerializer({ ...common, type: "lines", create: async () => () => ({}) });
export const channel = core.defineChannel({ ...common, type: "hole", create: async () => ({}) });
export const helper = () => "not a definition";
`;

void test("one module gives every kind of component; #name says which of several", async (t) => {
  const { lines, configuration, startable } = await load(t, {
    "plugins/all.mjs": many,
    "flume.conf": conf(
      "null",
      "a1.sinks.k1.serializer = ./plugins/all.mjs",
      "a1.sinkgroups = g1",
      "a1.sinkgroups.g1.sinks = k1",
      "a1.sinkgroups.g1.processor.type = ./plugins/all.mjs#group",
      "a1.sources.r1.selector.type = file:plugins/all.mjs",
      "a1.sources.r1.interceptors = i1 i2",
      "a1.sources.r1.interceptors.i1.type = ./plugins/all.mjs#first",
      "a1.sources.r1.interceptors.i2.type = ./plugins/all.mjs#two",
      "a1.channels.c1.type = ./plugins/../plugins/all.mjs",
    ).replace("a1.channels.c1.type = memory\n", ""),
  });
  assert.deepEqual([lines, startable], [[], true]);
  const source = configuration.sources.get("r1");
  assert.deepEqual(
    source?.interceptors.map(({ type }) => type),
    ["one", "two"],
  );
  assert.equal(source.selector.type, "by_lot");
  assert.equal(configuration.groups.get("g1")?.processor.type, "mine");
  assert.equal(configuration.channels.get("c1")?.type, "hole");
});

for (const { name, type, files = {}, says } of [
  {
    name: "a file that is not there",
    type: "./gone.js",
    says: /k1\.type: no file gone\.js$/,
  },
  {
    name: "a module without one of the kind",
    type: "./stamp.mjs",
    files: { "stamp.mjs": many },
    says: /k1\.type: \.\/stamp\.mjs exports no sink; it exports .*interceptor first.*selector route/,
  },
  {
    name: "a module that exports nothing of ours",
    type: "./empty.mjs",
    files: { "empty.mjs": "export const x = { kind: 'sink' };" },
    says: /exports no sink; it exports nothing made by a define function$/,
  },
  {
    name: "a name that the module does not have",
    type: "./s.mjs#other",
    files: { "s.mjs": sinkModule },
    says: /\.\/s\.mjs exports no sink other; it exports sink sink$/,
  },
  {
    name: "a module that has several",
    type: "./s.mjs",
    files: { "s.mjs": `${sinkModule}\nexport const again = { ...sink, type: "again" };` },
    says: /\.\/s\.mjs exports several of kind sink: add one of #again, #sink$/,
  },
  {
    name: "a module that throws",
    type: "./bad.mjs",
    files: {
      "bad.mjs": `throw new Error("no license", { cause: new TypeError("file is empty") });`,
    },
    says: /bad\.mjs cannot be loaded: Error: no license; because of TypeError: file is empty \(.*bad\.mjs:1:7\)$/,
  },
  {
    name: "a module with a slip",
    type: "./slip.mjs",
    files: { "slip.mjs": "\nexport const sink = (;" },
    says: /slip\.mjs cannot be loaded: .*(SyntaxError|Unexpected)/,
  },
  {
    name: "a module that imports what is not there",
    type: "./needs.mjs",
    files: { "needs.mjs": `import "acme-missing-thing";` },
    says: /needs\.mjs cannot be loaded: .*Cannot find package 'acme-missing-thing'/,
  },
  {
    name: "a package that is not installed",
    type: "@acme/gone",
    says: /k1\.type: no package @acme\/gone is installed; looked from DIR, /,
  },
  {
    name: "a package that throws",
    type: "npm:acme-bad",
    files: {
      "node_modules/acme-bad/package.json": `{"name":"acme-bad","main":"i.js"}`,
      "node_modules/acme-bad/i.js": `throw new Error("no license");`,
    },
    says: /package acme-bad cannot be loaded: Error: no license/,
  },
  {
    name: "a Java class",
    type: "com.acme.flume.HBaseSink",
    says: /it names a Java class, and no Java runs here: port it as docs\/plugins\.md shows/,
  },
] as { name: string; type: string; files?: Record<string, string>; says: RegExp }[]) {
  void test(`${name} is an error at the type's line, and the others run in lenient mode`, async (t) => {
    const { lines, startable, dropped } = await load(
      t,
      { ...files, "flume.conf": conf(type) },
      { mode: "lenient" },
    );
    assert.match(lines[0] ?? "", /^flume\.conf:8: a1\.sinks\.k1\.type: /);
    assert.match(lines[0] ?? "", says);
    assert.ok(startable);
    assert.deepEqual(dropped, [{ kind: "sink", name: "k1" }]);
  });
}

void test("packages are found from the configuration's directory upwards, by exports or by main", async (t) => {
  const files = {
    "node_modules/@acme/sinks/package.json": `{"name":"@acme/sinks","type":"module","exports":{"import":"./esm/index.js"}}`,
    "node_modules/@acme/sinks/esm/index.js": sinkModule,
    "node_modules/acme-plain/package.json": `{"name":"acme-plain","main":"plain.mjs"}`,
    "node_modules/acme-plain/plain.mjs": sinkModule.replace('"acme"', '"plain"'),
  };
  for (const [type, want] of [
    ["@acme/sinks", "acme"],
    ["@acme/sinks#acme", "acme"],
    ["npm:acme-plain", "plain"],
  ]) {
    const { lines, configuration } = await load(t, {
      ...files,
      "flume.conf": conf(type as string, "a1.sinks.k1.url = u"),
    });
    assert.deepEqual(lines, []);
    assert.equal(configuration.sinks.get("k1")?.type, want);
  }
});

void test("a misspelt type is never taken for a package", async (t) => {
  const { lines } = await load(t, {
    "node_modules/loger/package.json": `{"name":"loger","main":"index.js"}`,
    "node_modules/loger/index.js": "process.exitCode = 99;",
    "flume.conf": conf("loger"),
  });
  assert.match(lines[0] ?? "", /"loger" is not a type of sink .*did you mean logger\?/);
  assert.notEqual(process.exitCode, 99);
});

void test("plugin folders: modules and packages are known by their types and Java aliases", async (t) => {
  const files = {
    "plugins.d/acme/package.json": `{"name":"acme","type":"module","exports":"./index.js"}`,
    "plugins.d/acme/index.js": sinkModule,
    "plugins.d/all.mjs": many,
    "plugins.d/main/package.json": `{"main":"m.mjs"}`,
    "plugins.d/main/m.mjs": sinkModule.replace('"acme"', '"by_main"').replace("com.acme.", "org."),
    "plugins.d/node_modules/x/index.js": "throw new Error('not looked at');",
    "plugins.d/readme.txt": "",
  };
  for (const type of ["acme", "ACME", "com.acme.flume.AcmeSink", "by_main"]) {
    const { lines, startable } = await load(
      t,
      { ...files, "flume.conf": conf(type, "a1.sinks.k1.url = u", "a1.sources.r1.interceptors = i1", "a1.sources.r1.interceptors.i1.type = two") }, // prettier-ignore
      { pluginFolders: ["plugins.d"] },
    );
    assert.deepEqual([lines, startable], [[], true], type);
  }
});

void test("plugin folders: what cannot be used is a warning, and the rest is used", async (t) => {
  const { lines } = await load(
    t,
    {
      "p/avro.mjs": sinkModule.replace('"acme"', '"avro"'),
      "p/bad.mjs": "throw new Error('broken');",
      "p/empty.mjs": "export const x = 1;",
      "p/java/lib/acme.jar": "",
      "p/odd/package.json": "{",
      "p/ok.mjs": sinkModule,
      "flume.conf": conf("acme", "a1.sinks.k1.url = u"),
    },
    { pluginFolders: ["p", "gone"] },
  );
  assert.deepEqual(
    lines.map((line) => line.replace(/(Error: broken|JSON|directory).*/, "$1")),
    [
      "p/avro.mjs: sink avro is there already, so this one is left out",
      "p/bad.mjs cannot be loaded: Error: broken",
      "p/empty.mjs exports nothing made by a define function",
      "p/java holds a Java plugin, which is not loaded; docs/plugins.md shows a port",
      lines.find((line) => line.startsWith("p/odd"))?.replace(/JSON.*/, "JSON") ?? "",
      "the plugin folder gone cannot be read: ENOENT: no such file or directory",
    ],
  );
  assert.equal(lines.length, 6);
});

void test("a plugin's own error class is the agent's", async (t) => {
  const { configuration } = await load(t, {
    "r.mjs": `import { defineSource, MillraceError } from "@millrace/core";
      export const source = defineSource({ type: "r", options: {}, create: async () => { throw new MillraceError("PORT_IN_USE", "x"); } });`,
    "flume.conf": conf("null").replace("a1.sources.r1.type = avro", "a1.sources.r1.type = ./r.mjs"),
  });
  const source = configuration.sources.get("r1");
  assert.ok(source !== undefined);
  await assert.rejects(
    source.definition.create(source.options, {} as SourceContext),
    (error) => error instanceof MillraceError && error.code === "PORT_IN_USE",
  );
});
