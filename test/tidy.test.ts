/** The project's own mechanical rules. What a formatter or the five lint rules say is not repeated. */
import { errorTable } from "@millrace/core";
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const files = walk(root).map((path) => ({
  path: relative(root, path),
  text: readFileSync(path, "utf8"),
}));
const sources = files.filter(
  ({ path }) => path.endsWith(".ts") && !path.startsWith("test/fixtures/"),
);
const product = sources.filter(
  ({ path }) => path.startsWith("packages/") && !path.endsWith(".test.ts"),
);

test("imports run one way between the packages", () => {
  const allowed: Record<string, readonly string[]> = {
    core: [],
    rpc: ["core"],
    client: ["core", "rpc"],
    "file-channel": ["core"],
    components: ["core", "rpc", "file-channel"],
    jdbc: ["core"],
    kafka: ["core", "rpc"],
    kubernetes: ["core"],
    agent: ["core"],
    testing: ["core"],
    cli: ["core", "rpc", "file-channel", "components", "jdbc", "kafka", "kubernetes", "agent"],
  };
  let seen = 0;
  for (const { path, text } of product) {
    const own = packageOf(path);
    for (const specifier of imports(text)) {
      const target = /^@millrace\/([^/]+)/.exec(specifier)?.[1];
      if (target === undefined) continue;
      seen++;
      assert.ok(
        allowed[own]?.includes(target),
        `${path} imports @millrace/${target}; ${own} may import ${allowed[own]?.join(", ")}`,
      );
    }
  }
  assert.ok(seen > 50, `looked at ${seen} imports only`);
});

test("no file reaches into another package by a relative path", () => {
  for (const { path, text } of sources.filter(({ path: p }) => p.startsWith("packages/"))) {
    for (const specifier of imports(text).filter((s) => s.startsWith("."))) {
      const target = relative(root, join(root, dirname(path), specifier));
      assert.equal(packageOf(target), packageOf(path), `${path} imports ${specifier}`);
    }
  }
});

test("a component imports nothing of another component", () => {
  for (const { path, text } of product.filter(({ path: p }) => componentOf(p) !== undefined)) {
    for (const specifier of imports(text).filter((s) => s.startsWith("."))) {
      const other = componentOf(relative(root, join(root, dirname(path), specifier)));
      assert.ok(other === undefined || other === componentOf(path), `${path} imports ${specifier}`);
    }
  }
});

test("a component's index loads its options only, and the rest inside create", () => {
  const indexes = product.filter(
    ({ path }) => componentOf(path) !== undefined && path.endsWith("/index.ts"),
  );
  assert.ok(indexes.length >= 15, `found ${indexes.length} components`);
  for (const { path, text } of indexes) {
    for (const specifier of staticImports(text)) {
      assert.ok(
        specifier === "./options.ts" || specifier === "@millrace/core",
        `${path} imports ${specifier}`,
      );
    }
  }
});

test("what is not deterministic comes through Runtime", () => {
  const rules = [
    {
      call: /\bDate\.now\(|\bnew Date\(\)/,
      instead: "clock.now()",
      except: /^packages\/core\/src\/runtime\//,
    },
    {
      call: /\bMath\.random\(/,
      instead: "random.integer()",
      except: /^packages\/core\/src\/runtime\//,
    },
    {
      call: /\bset(Timeout|Interval)\(/,
      instead: "clock.setTimer()",
      except: /^packages\/(core\/src\/runtime|testing|cli)\//,
    },
    {
      call: /from "node:(fs|fs\/promises)"/,
      instead: "runtime.files",
      except: /^packages\/(core\/src\/runtime|testing|cli|file-channel\/src\/lock)\//,
    },
    { call: /\bconsole\./, instead: "the component's log", except: /^packages\/cli\// },
    {
      call: /\bAbortSignal\.(any|timeout)\(/,
      instead: "one controller a runner and clock.setTimer()",
      except: /^packages\/(cli|testing)\//,
    },
  ];
  for (const { path, text } of product) {
    for (const { call, instead, except } of rules) {
      if (except.test(path)) continue;
      const line = lineOf(text, call);
      assert.equal(line, 0, `${path}:${line}: use ${instead}`);
    }
  }
});

test("no default exports, no any, no switched-off checks, nothing left to do", () => {
  const forbidden = [
    { what: /^export default/m, why: "named exports only" },
    { what: /(:\s|<)any\b[;,)>\s=[\]|]|\bas any[;,).\s]/, why: "no any" },
    { what: /@ts-(ignore|nocheck|expect-error)|eslint-disable/, why: "correct it instead" },
    {
      what: new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X"].join("|")})\\b`),
      why: "finish it",
    },
    {
      what: /\b(test|it|describe)\.(only|skip|todo)\(|\{ (skip|only|todo): true/,
      why: "a test runs or is not there",
    },
  ];
  for (const { path, text } of sources.filter(({ path: p }) => p !== "test/tidy.test.ts")) {
    for (const { what, why } of forbidden) {
      const line = lineOf(stripComments(text), what);
      assert.equal(line, 0, `${path}:${line}: ${why}`);
    }
  }
});

test("every file has an importer", () => {
  const entries = /(^scripts\/|\.test\.ts$|\/main\.ts$|\/index\.ts$|^test\/|worker\.ts$)/;
  const imported = new Set<string>();
  for (const { path, text } of sources) {
    for (const specifier of imports(text).filter((s) => s.startsWith("."))) {
      imported.add(relative(root, join(root, dirname(path), specifier)));
    }
  }
  for (const { path } of product) {
    assert.ok(entries.test(path) || imported.has(path), `${path} is imported by nothing`);
  }
});

test("files and functions stay small", () => {
  for (const { path, text } of product) {
    const lines = text.split("\n").length;
    assert.ok(lines <= 420, `${path} has ${lines} lines: it has grown two purposes`);
  }
});

test("every error code is provoked and named by a test", () => {
  const tests = sources.filter(
    ({ path }) => path.endsWith(".test.ts") || path.endsWith("-contract.ts"),
  );
  const text = tests
    .filter(({ path }) => path !== "test/tidy.test.ts")
    .map((file) => file.text)
    .join("\n");
  for (const code of Object.keys(errorTable)) {
    assert.ok(new RegExp(`["'\`/: ]${code}\\b`).test(text), `no test names ${code}`);
  }
});

test("every error code in the code is in the table, and every row is used", () => {
  const used = product
    .filter(({ path }) => !path.endsWith("error-table.ts"))
    .map((file) => file.text)
    .join("\n");
  for (const code of Object.keys(errorTable)) {
    assert.ok(used.includes(`"${code}"`), `${code} is in the table and thrown by nothing`);
  }
});

test("nothing names a machine's path or a package registry", () => {
  const hosts = [
    "registry.npm" + "js",
    "repo.maven" + "apache",
    "proxy.golang" + ".org",
    "deb.debian" + ".org",
    "pypi" + ".org",
  ];
  for (const { path, text } of files) {
    for (const host of hosts) assert.ok(!text.includes(host), `${path} names ${host}`);
    assert.ok(!/(^|[\s"'`(=:])\/(work|root)\//m.test(text), `${path} holds a path of one machine`);
    assert.ok(!text.includes("../sha" + "red/"), `${path} reads beside the project`);
  }
});

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      return /^(node_modules|dist|\.git|\.millrace|coverage)$/.test(entry.name) ? [] : walk(path);
    }
    return /\.(ts|js|mjs|json|md|conf|yml|yaml|sh|run)$|\/run$/.test(path) ? [path] : [];
  });
}

function packageOf(path: string): string {
  return path.split("/")[1] ?? "";
}

/** "components/src/sources/avro" for a file of that component; undefined for what belongs to none. */
function componentOf(path: string): string | undefined {
  const match =
    /^packages\/((?:components|jdbc|kafka|kubernetes)\/src\/[a-z-]+s\/[a-z0-9_-]+)\//.exec(path);
  return match?.[1];
}

function staticImports(text: string): string[] {
  return [...text.matchAll(/^(?:import|export)\s[^;]*?from\s+"([^"]+)"/gms)].map(
    (match) => match[1] as string,
  );
}

function imports(text: string): string[] {
  const dynamic = [...text.matchAll(/\bimport\(\s*"([^"]+)"/g)].map((match) => match[1] as string);
  const bare = [...text.matchAll(/^import\s+"([^"]+)"/gm)].map((match) => match[1] as string);
  return [...staticImports(text), ...dynamic, ...bare];
}

function stripComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ""))
    .replace(/^\s*\/\/.*$/gm, "");
}

/** The line of the first match, from 1; 0 when there is none. */
function lineOf(text: string, pattern: RegExp): number {
  const match = pattern.exec(text);
  return match === null ? 0 : text.slice(0, match.index).split("\n").length;
}
