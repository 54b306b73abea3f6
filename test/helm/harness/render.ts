/** The chart as the real Helm renders it. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { findGoProgram } from "../../harness/go-program.ts";
import { helmProgram } from "../../harness/go-programs.ts";
import type { Manifest } from "./manifest.ts";

export const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
export const chart = join(root, "deploy/helm/millrace");
export const valuesFolder = join(root, "test/helm/values");

/** The newest Kubernetes that the chart is held to, and the oldest, which Chart.yaml names. */
export const newestKubernetes = "1.37.2";
export const oldestKubernetes = "1.33.13";

/** The names of the value files: "default", "direct" ... */
export const valueFiles: readonly string[] = readdirSync(valuesFolder)
  .filter((name) => name.endsWith(".yaml"))
  .map((name) => name.slice(0, -".yaml".length))
  .sort();

export interface RenderOptions {
  /** A value file's name. */
  readonly values?: string;
  /** More values, over those of the file; YAML. */
  readonly over?: string;
  readonly set?: readonly string[];
  readonly release?: string;
  readonly kubernetes?: string;
  readonly skipSchema?: boolean;
  readonly words?: readonly string[];
}

export interface Rendered {
  readonly text: string;
  readonly manifests: readonly Manifest[];
}

export interface Helm {
  /** Runs Helm, whatever comes of it. */
  run(
    words: readonly string[],
    input?: string,
    cwd?: string,
  ): { status: number; stdout: string; stderr: string };
  /** Fails with what Helm says when it renders nothing. */
  render(options: RenderOptions): Rendered;
  /** What Helm says when it refuses; fails when it does not. */
  refuses(options: RenderOptions): string;
}

/** The real Helm, or undefined when the test is marked as skipped. */
export function findHelm(context: TestContext): Helm | undefined {
  const binary = findGoProgram(context, helmProgram);
  return binary === undefined ? undefined : createHelm(binary);
}

/** A chart does not change while a test looks at it. */
const rendered = new Map<string, Rendered>();

export function createHelm(binary: string): Helm {
  const run: Helm["run"] = (words, input, cwd) => {
    const { status, stdout, stderr } = spawnSync(binary, words, {
      encoding: "utf8",
      ...{ input, cwd },
      maxBuffer: 64 * 1_048_576,
      timeout: 60_000,
    });
    return { status: status ?? -1, stdout, stderr };
  };
  const template = (options: RenderOptions) => {
    const { values, over, set = [], release = "millrace", words = [] } = options;
    return run(
      [
        ...["template", release, chart, "--namespace", "logging"],
        ...["--kube-version", options.kubernetes ?? newestKubernetes],
        ...(values === undefined ? [] : ["-f", join(valuesFolder, `${values}.yaml`)]),
        ...(over === undefined ? [] : ["-f", "-"]),
        ...set.flatMap((word) => ["--set", word]),
        ...(options.skipSchema === true ? ["--skip-schema-validation"] : []),
        ...words,
      ],
      over,
    );
  };
  return {
    run,
    render(options) {
      const key = JSON.stringify(options);
      const before = rendered.get(key);
      if (before !== undefined) return before;
      const { status, stdout, stderr } = template(options);
      if (status !== 0) throw new Error(`helm template ended with ${status}:\n${stderr}`);
      const now = { text: stdout, manifests: parseManifests(stdout) };
      rendered.set(key, now);
      return now;
    },
    refuses(options) {
      const { status, stdout, stderr } = template(options);
      if (status !== 0) return stderr;
      throw new Error(`helm template refused nothing of ${JSON.stringify(options)}:\n${stdout.slice(0, 500)}`); // prettier-ignore
    },
  };
}

export function parseManifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text)
    .map((document) => {
      const [error] = document.errors;
      if (error !== undefined) throw error;
      return document.toJS() as Manifest | null;
    })
    .filter((manifest) => manifest !== null);
}

export function readGolden(name: string): string | undefined {
  try {
    return readFileSync(goldenPath(name), "utf8");
  } catch {
    return undefined;
  }
}

export const goldenPath = (name: string): string => join(root, "test/helm/golden", `${name}.yaml`);
