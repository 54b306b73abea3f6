/** The kinds `npm run new` can make, and the folder each lives in. */
export const newKinds = { source: "sources", sink: "sinks", interceptor: "interceptors" } as const;

type NewKind = keyof typeof newKinds;

/** The files of a new component: names to contents. They work as they are: it starts and stops. */
export function componentFiles(kind: NewKind, name: string): Map<string, string> {
  const type = name.replaceAll("-", "_");
  const pascal = name.replace(/(^|-)(.)/g, (_, __, letter: string) => letter.toUpperCase());
  const files = new Map<string, string>();
  files.set("options.ts", optionsFile(kind));
  files.set("index.ts", indexFile(kind, name, type, pascal));
  files.set(`${name}.ts`, implementationFile(kind, pascal));
  files.set(`${name}.test.ts`, testFile(kind, name, pascal));
  files.set(
    "README.md",
    `# ${type}\n\nWhat it does, in a few words.\n\n<!-- options -->\n<!-- /options -->\n`,
  );
  return files;
}

function optionsFile(kind: NewKind): string {
  const options =
    kind === "interceptor"
      ? `name: text("name", "The header to set.", { default: "example" }),`
      : `batchSize: integer("batchSize", "Events in one batch.", { default: 100, min: 1 }),`;
  return `import { ${kind === "interceptor" ? "text" : "integer"}, type OptionsOf } from "@millrace/core";

export const options = {
  ${options}
};

export type Options = OptionsOf<typeof options>;
`;
}

function indexFile(kind: NewKind, name: string, type: string, pascal: string): string {
  const capital = kind.charAt(0).toUpperCase() + kind.slice(1);
  const guarantee =
    kind === "interceptor"
      ? ""
      : `\n  guarantee: { atLeastOnce: false, lostIf: "say what is lost, and when" },`;
  return `import { define${capital} } from "@millrace/core";
import { options } from "./options.ts";

export const ${kind} = define${capital}({
  type: "${type}",
  aliases: [],
  summary: "Say what it does in one sentence.",
  options,${guarantee}
  example: \`
${exampleText(kind, type)}\`,
  create: async (values, context) =>
    (await import("./${name}.ts")).create${pascal}(values, context),
});
`;
}

function exampleText(kind: NewKind, type: string): string {
  const lines = [
    "a1.sources = r1",
    "a1.channels = c1",
    "a1.sinks = k1",
    `a1.sources.r1.type = ${kind === "source" ? type : "avro"}`,
    "a1.sources.r1.channels = c1",
    ...(kind === "source" ? [] : ["a1.sources.r1.bind = 127.0.0.1", "a1.sources.r1.port = 4141"]),
    ...(kind === "interceptor"
      ? ["a1.sources.r1.interceptors = i1", `a1.sources.r1.interceptors.i1.type = ${type}`]
      : []),
    "a1.channels.c1.type = memory",
    `a1.sinks.k1.type = ${kind === "sink" ? type : "null"}`,
    "a1.sinks.k1.channel = c1",
  ];
  return `${lines.join("\n")}\n`;
}

function implementationFile(kind: NewKind, pascal: string): string {
  switch (kind) {
    case "source":
      return `import type { PollableSource, SourceContext } from "@millrace/core";
import type { Options } from "./options.ts";

/** Say what it reads, and when it may forget it: after \`processEventBatch\` has resolved. */
export function create${pascal}(_options: Options, _context: SourceContext): PollableSource {
  return {
    pollBackoff: { incrementMs: 1000, maxMs: 5000 },
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    poll: () => Promise.resolve("backoff"),
  };
}
`;
    case "sink":
      return `import type { Sink, SinkContext } from "@millrace/core";
import type { Options } from "./options.ts";

/** Say where it delivers, and what holds when \`deliver\` resolves. */
export function create${pascal}(options: Options, context: SinkContext): Sink {
  return {
    batchSize: options.batchSize,
    deliveriesInFlight: 1,
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    deliver(batch) {
      context.log.debug("delivered", { events: batch.length });
      return Promise.resolve();
    },
  };
}
`;
    case "interceptor":
      return `import type { ComponentContext, Interceptor } from "@millrace/core";
import type { Options } from "./options.ts";

/** Say which events it changes, and how. */
export function create${pascal}(options: Options, context: ComponentContext): Interceptor {
  return {
    edits: () => [{ name: options.name, value: context.agent, preserveExisting: true }],
  };
}
`;
  }
}

function testFile(kind: NewKind, name: string, pascal: string): string {
  const head = `import assert from "node:assert/strict";
import { test } from "node:test";
`;
  if (kind === "interceptor") {
    return `${head}import { editHeaders, EventBatch } from "@millrace/core";
import { partContext } from "@millrace/testing";
import { create${pascal} } from "./${name}.ts";

test("${name} sets its header", () => {
  const interceptor = create${pascal}({ name: "example" }, partContext());
  assert(typeof interceptor === "object");
  const batch = EventBatch.fromEvents([{ body: Buffer.from("x") }]);
  assert.equal(editHeaders(batch, interceptor.edits()).at(0).headers.get("example"), "a1");
});
`;
  }
  const works =
    kind === "source"
      ? `  assert.equal(await made.poll(never), "backoff");`
      : `  await made.deliver(EventBatch.fromEvents([{ body: Buffer.from("x") }]), never);
  assert.equal(context.log.lines.at(-1)?.detail["events"], 1);`;
  const core = kind === "sink" ? `import { EventBatch } from "@millrace/core";\n` : "";
  return `${head}${core}import { ${kind}Context } from "@millrace/testing";
import { create${pascal} } from "./${name}.ts";

test("${name} starts, does one round, stops, and stops again", async () => {
  const context = ${kind}Context();
  const made = create${pascal}({ batchSize: 10 }, context);
  const never = new AbortController().signal;
  await made.start(never);
${works}
  await made.stop(never);
  await made.stop(never);
});
`;
}
