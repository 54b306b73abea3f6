import { systemRuntime } from "@millrace/core";
import { tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { type AgentWords, parseAgentWords } from "./agent-options.ts";
import { gatherDefines } from "./gather-defines.ts";
import { readJavaOpts } from "./java-opts.ts";
import { readReloadSettings } from "./reload-settings.ts";
import { splitWords } from "./split-words.ts";

const split: {
  line: string;
  want: Partial<Record<"command" | "options" | "java", string>>;
  defines?: object;
}[] = [
  {
    line: "agent -n a1 -f x -Dflume.root.logger=INFO,console",
    want: { command: "agent", options: "-n a1 -f x" },
    defines: { "flume.root.logger": "INFO,console" },
  },
  {
    line: "agent -conf conf -conf-file x -name a1 -Xmx1g -javaagent:j.jar -agentlib:hprof -verbose:gc",
    want: {
      command: "agent",
      options: "--conf conf --conf-file x --name a1",
      java: "-Xmx1g -javaagent:j.jar -agentlib:hprof -verbose:gc",
    },
  },
  { line: "agent -Da=b=c -Dd -Da=e", want: { command: "agent" }, defines: { a: "e", d: "" } },
  { line: "--help", want: { command: "help", options: "--help" } },
  { line: "-h", want: { command: "help", options: "-h" } },
  { line: "--version", want: { command: "version", options: "--version" } },
  { line: "-n a1", want: { options: "-n a1" } },
];
for (const { line, want, defines = {} } of split) {
  test(`the words of "${line}" are told apart`, () => {
    const words = splitWords(line.split(" "));
    assert.deepEqual(
      {
        command: words.command,
        options: words.options.join(" "),
        java: words.javaWords.join(" "),
        defines: Object.fromEntries(words.defines),
      },
      { command: undefined, options: "", java: "", ...want, defines },
    );
  });
}

const parse = (line: string, program: "millrace" | "flume-ng" = "millrace") =>
  parseAgentWords(splitWords(line.split(" ")), program);
const base = "agent -n a1 -f flume.conf";
const understood = (line: string, program?: "millrace" | "flume-ng"): AgentWords => {
  const words = parse(line, program);
  assert(words !== "help" && !("problem" in words), JSON.stringify(words));
  return words;
};

test("Flume's own command line is understood whole", () => {
  const line =
    "agent -c conf --conf-file one.conf -f two.conf --name=a1 -C x.jar --plugins-path p:q -i 5 --no-reload-conf -Xmx1g";
  assert.deepEqual(understood(line), {
    agent: "a1",
    files: ["one.conf", "two.conf"],
    confDirectory: "conf",
    mode: "strict",
    dryrun: false,
    pluginFolders: ["p", "q"],
    noReloadConf: true,
    pollIntervalSeconds: 5,
    notes: [
      "-Xmx1g has no effect: there is no Java machine here",
      "--classpath has no effect: there are no Java classes here",
    ],
  });
});

test("millrace is strict and flume-ng lenient, unless they are told", () => {
  assert.equal(understood(base).mode, "strict");
  assert.equal(understood(base, "flume-ng").mode, "lenient");
  assert.equal(understood(`${base} --lenient`).mode, "lenient");
  assert.equal(understood(`${base} --strict`, "flume-ng").mode, "strict");
  assert.equal(understood(`${base} -d`).dryrun, true);
});

test("files are watched every 30 s, unless the words or -Dmillrace.reload say otherwise", () => {
  const settings = (line: string, reload?: string) => {
    const defines = new Map(reload === undefined ? [] : [["millrace.reload", reload]]);
    const { settings: given, note } = readReloadSettings(understood(`${base}${line}`), defines);
    return [given.mode, given.pollIntervalSeconds, note];
  };
  assert.deepEqual(settings(""), ["watch", 30, undefined]);
  assert.deepEqual(settings(" -i 5"), ["watch", 5, undefined]);
  assert.deepEqual(settings(" --poll-interval 0", "watch"), ["watch", 30, undefined]);
  assert.deepEqual(settings("", "off"), ["off", 30, undefined]);
  assert.deepEqual(settings(" --no-reload-conf", "watch"), ["off", 30, undefined]);
  assert.deepEqual(settings("", "on"), [
    "watch",
    30,
    "millrace.reload=on is neither watch nor off; watch is used",
  ]);
});

const refused: { line: string; want: RegExp }[] = [
  { line: "agent -f x", want: /^-n <agent> is missing/ },
  { line: "agent -n a1", want: /^-f <file> is missing/ },
  { line: `${base} --frobnicate`, want: /^Unknown option '--frobnicate'$/ },
  { line: `${base} -i soon`, want: /^--poll-interval soon is not a whole number of seconds/ },
  { line: `${base} more`, want: /^Unexpected argument 'more'/ },
  { line: `${base} --strict --lenient`, want: /exclude each other/ },
  { line: `${base} -z host:2181`, want: /^--zkConnString is not supported in this version/ },
  { line: "agent -n a1 -u http://x/y", want: /^--conf-uri is not supported .* use --conf-file$/ },
  { line: `${base} -prov com.example.P`, want: /^--conf-provider is not supported/ },
  { line: `${base} -user u -pwd p`, want: /^--conf-user, --conf-password is not supported/ },
];
for (const { line, want } of refused) {
  test(`"${line}" is refused`, () => {
    const words = parse(line);
    assert(words !== "help" && "problem" in words);
    assert.match(words.problem, want);
  });
}

test("help is help, whatever stands beside it", () => {
  assert.equal(parse("agent -h"), "help");
  assert.equal(parse("check --help -f x"), "help");
});

const shell: { name: string; text: string; defines: object; notes?: number }[] = [
  {
    name: "exported and quoted",
    text: 'export JAVA_OPTS="-Xms100m -Da.b=c -Dd=e"',
    defines: { "a.b": "c", d: "e" },
  },
  { name: "without quotes", text: "JAVA_OPTS=-Da=b # -Dc=d", defines: { a: "b" } },
  {
    name: "over several lines",
    text: "JAVA_OPTS='-Da=b \\\n  -Dc=d'",
    defines: { a: "b", c: "d" },
  },
  {
    name: "added to what was there",
    text: 'JAVA_OPTS="-Da=1 -Db=2"\nJAVA_OPTS="$JAVA_OPTS -Db=3"',
    defines: { a: "1", b: "3" },
  },
  { name: "replaced", text: "JAVA_OPTS=-Da=1\nJAVA_OPTS=-Db=2", defines: { b: "2" } },
  { name: "with blanks in quotes", text: `JAVA_OPTS='-Da="x y"'`, defines: { a: "x y" } },
  { name: "in comments", text: '# export JAVA_OPTS="-Da=b"', defines: {} },
  {
    name: "that would need a shell",
    text: 'JAVA_OPTS="-Da=$(hostname) -Db=$HOME -Dc=`id` -Dd=e"',
    defines: { d: "e" },
    notes: 3,
  },
  { name: "of other variables", text: 'OTHER_JAVA_OPTS="-Da=b"', defines: {} },
];
for (const { name, text, defines, notes = 0 } of shell) {
  test(`flume-env.sh is read, never run: -D words ${name}`, () => {
    const read = readJavaOpts(text);
    assert.deepEqual(Object.fromEntries(read.defines), defines);
    assert.equal(read.notes.length, notes);
  });
}

test("-D words come from flume-env.sh, then FLUME_JAVA_OPTS, then the command line", async (context) => {
  const directory = await tempDirectory(context);
  await writeFile(join(directory, "flume-env.sh"), 'export JAVA_OPTS="-Da=1 -Db=1 -Dc=1"\n');
  const words = splitWords(["agent", "-Dc=3"]);
  const env = { FLUME_JAVA_OPTS: "-Db=2 -Dc=2 -Dx='a b'" };
  const { defines, notes } = await gatherDefines(words, directory, env, systemRuntime.files);
  assert.deepEqual(Object.fromEntries(defines), { a: "1", b: "2", c: "3", x: "a b" });
  assert.deepEqual(notes, []);
  const without = await gatherDefines(words, join(directory, "none"), {}, systemRuntime.files);
  assert.deepEqual(Object.fromEntries(without.defines), { c: "3" });
});

const tlsSettings = [
  ["T155", "javax.net.ssl.keyStore", "FLUME_SSL_KEYSTORE_PATH"],
  ["T156", "javax.net.ssl.keyStorePassword", "FLUME_SSL_KEYSTORE_PASSWORD"],
  ["T157", "javax.net.ssl.keyStoreType", "FLUME_SSL_KEYSTORE_TYPE"],
  ["T159", "javax.net.ssl.trustStore", "FLUME_SSL_TRUSTSTORE_PATH"],
  ["T160", "javax.net.ssl.trustStorePassword", "FLUME_SSL_TRUSTSTORE_PASSWORD"],
  ["T161", "javax.net.ssl.trustStoreType", "FLUME_SSL_TRUSTSTORE_TYPE"],
  ["T163", "flume.ssl.include.protocols", "FLUME_SSL_INCLUDE_PROTOCOLS"],
  ["T164", "flume.ssl.exclude.protocols", "FLUME_SSL_EXCLUDE_PROTOCOLS"],
  ["T165", "flume.ssl.include.cipherSuites", "FLUME_SSL_INCLUDE_CIPHERSUITES"],
  ["T166", "flume.ssl.exclude.cipherSuites", "FLUME_SSL_EXCLUDE_CIPHERSUITES"],
] as const;
for (const [row, property, variable] of tlsSettings) {
  test(`${property} is what -D says, else what ${variable} says, else not given (${row})`, async () => {
    const gather = async (line: string, env: Record<string, string>) => {
      const words = splitWords(line.split(" "));
      return (await gatherDefines(words, undefined, env, systemRuntime.files)).defines;
    };
    const defined = `agent -D${property}=word`;
    assert.equal((await gather(defined, { [variable]: "environment" })).get(property), "word");
    assert.equal((await gather(defined, {})).get(property), "word");
    const env = { [variable]: "environment" };
    assert.equal((await gather("agent", env)).get(property), "environment");
    const inJavaOpts = { ...env, FLUME_JAVA_OPTS: `-D${property}=opts` };
    assert.equal((await gather("agent", inJavaOpts)).get(property), "opts");
    assert.equal((await gather("agent", {})).has(property), false);
  });
}
