// Runs suites of tests from source: `node scripts/run-tests.mjs unit e2e [part of a path ...]`.
// Names every file itself, as Node 20's --test would also run stale builds, and fails on none.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const suites = {
  unit: { under: ["packages", "test"], not: /^test\/[^/]+\//, concurrency: 2 },
  e2e: { under: ["test/e2e"], concurrency: 1 },
  chaos: { under: ["test/chaos"], concurrency: 1 },
  conformance: { under: ["test/conformance"], concurrency: 1 },
  crash: { under: ["test/crash"], concurrency: 2, timeoutMs: 1_200_000 },
  postgres: { under: ["test/postgres"], concurrency: 1 },
  kafka: { under: ["test/kafka"], concurrency: 1 },
  helm: { under: ["test/helm"], concurrency: 1, prepare: "test/helm/harness/prepare.ts" },
  prometheus: {
    under: ["test/prometheus"],
    concurrency: 1,
    prepare: "test/prometheus/harness/prepare.ts",
  },
  kubernetes: {
    under: ["test/kubernetes"],
    concurrency: 1,
    prepare: "test/kubernetes/harness/prepare.ts",
  },
  consul: { under: ["test/consul"], concurrency: 1, prepare: "test/consul/harness/prepare.ts" },
};
const args = process.argv.slice(2);
const filters = args.filter((arg) => !(arg in suites));
let failed = false;

for (const name of args.filter((arg) => arg in suites)) {
  const { under, not, concurrency, prepare, timeoutMs = 600_000 } = suites[name];
  const files = under
    .flatMap((folder) => testFiles(join(root, folder)))
    .map((file) => relative(root, file))
    .filter((file) => not === undefined || !not.test(file))
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort();
  if (files.length === 0) {
    console.error(`suite ${name}: no test file found`);
    process.exit(1);
  }
  console.log(`suite ${name}: ${files.length} files`);
  // What tests need and what may take longer than a test may.
  if (prepare !== undefined && node(prepare) !== 0) failed = true;
  const status = node(
    "--test",
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${timeoutMs}`,
    `--test-reporter=${process.env.TEST_REPORTER ?? "spec"}`,
    ...files,
  );
  failed ||= status !== 0;
}
process.exit(failed ? 1 : 0);

function node(...words) {
  const command = ["--conditions=millrace-source", "--import=tsx", ...words];
  return spawnSync(process.execPath, command, {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  }).status;
}

function testFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return /^(node_modules|dist)$/.test(entry.name) ? [] : testFiles(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}
