/**
 * What a version of Kubernetes takes, as strict JSON schemas: from the OpenAPI document inside its Go module, and for
 * objects of operators from the CustomResourceDefinitions inside theirs.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Ajv, type ErrorObject } from "ajv";
import { parse } from "yaml";
import { mustRun } from "../../harness/go-program.ts";
import type { Manifest } from "./manifest.ts";

interface Schema {
  readonly [keyword: string]: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
}

interface OpenApi {
  readonly definitions: Readonly<Record<string, Schema>>;
}

/** Problems of a manifest, a line each. */
export type Validator = (manifest: Manifest) => readonly string[];

const customResources = [
  {
    module: "github.com/prometheus-operator/prometheus-operator@v0.85.0",
    folder: "example/prometheus-operator-crd",
    files: ["servicemonitors", "podmonitors", "prometheusrules"].map((name) => `monitoring.coreos.com_${name}.yaml`), // prettier-ignore
  },
  {
    module: "github.com/cert-manager/cert-manager@v1.21.2",
    folder: "deploy/crds",
    files: ["cert-manager.io_certificates.yaml"],
  },
];

const groupVersionKind = "x-kubernetes-group-version-kind";

/** For a version such as 1.37.2, or undefined when the test is marked as skipped. */
export function findValidator(context: TestContext, version: string): Validator | undefined {
  const folder = downloadModule(context, `k8s.io/kubernetes@v${version}`);
  if (folder === undefined) return undefined;
  const text = readFileSync(join(folder, "api/openapi-spec/swagger.json"), "utf8");
  const { definitions } = JSON.parse(text) as OpenApi;
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
  const strict = Object.entries(definitions).map(([name, schema]) => [name, tighten(schema, name)]);
  ajv.addSchema({ $id: "kubernetes", definitions: Object.fromEntries(strict) as object });
  const references = new Map<string, string>();
  for (const [name, schema] of Object.entries(definitions)) {
    const kinds = (schema[groupVersionKind] ?? []) as { group: string; version: string; kind: string }[]; // prettier-ignore
    // Options of requests have many kinds, objects have one.
    const [only] = kinds;
    if (only === undefined || kinds.length > 1) continue;
    const apiVersion = [only.group, only.version].filter((part) => part !== "").join("/");
    references.set(`${apiVersion} ${only.kind}`, `kubernetes#/definitions/${name}`);
  }
  const ofOperators = findCustomResources(context);
  if (ofOperators === undefined) return undefined;
  for (const file of ofOperators) addCustomResource(ajv, references, file);
  return (manifest) => {
    const id = `${manifest.apiVersion} ${manifest.kind}`;
    const reference = references.get(id);
    if (reference === undefined) return [`${version} has no ${id}`];
    const validate = ajv.getSchema(reference);
    if (validate === undefined) return [`no schema ${reference}`];
    return validate(manifest) === true ? [] : (validate.errors ?? []).map(sayError);
  };
}

/** The files with the definitions of operators' objects, or undefined when the test is marked as skipped. */
export function findCustomResources(context: TestContext): readonly string[] | undefined {
  const found: string[] = [];
  for (const { module, folder, files } of customResources) {
    const crds = downloadModule(context, module);
    if (crds === undefined) return undefined;
    found.push(...files.map((file) => join(crds, folder, file)));
  }
  return found;
}

interface CustomResource {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string };
    readonly versions: readonly { name: string; schema: { openAPIV3Schema: Schema } }[];
  };
}

function addCustomResource(ajv: Ajv, references: Map<string, string>, path: string): void {
  const { spec } = parse(readFileSync(path, "utf8")) as CustomResource;
  for (const { name, schema } of spec.versions) {
    const id = `${spec.group}/${name} ${spec.names.kind}`;
    const reference = `${spec.group}-${name}-${spec.names.kind}`;
    ajv.addSchema({ $id: reference, ...tighten(schema.openAPIV3Schema, reference) });
    references.set(id, reference);
  }
}

/** The same schema, with every object that has properties refusing others. */
function tighten(schema: Schema, name: string): Schema {
  // A number or a text, which JSON schema says otherwise.
  if (name.endsWith(".IntOrString") || name.endsWith(".Quantity")) {
    return { type: ["string", "number"] };
  }
  return tightenAny(schema) as Schema;
}

function tightenAny(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tightenAny);
  if (typeof value !== "object" || value === null) return value;
  const given = value as Record<string, unknown>;
  const tight = Object.fromEntries(
    Object.entries(given)
      // Flags within a pattern are Go's alone.
      .filter(([key, inside]) => !(key === "pattern" && String(inside).includes("(?")))
      .map(([key, inside]) => [key, tightenAny(inside)]),
  );
  const hasProperties = typeof given["properties"] === "object" && given["properties"] !== null;
  const isOpen = given["additionalProperties"] !== undefined || given["x-kubernetes-preserve-unknown-fields"] === true; // prettier-ignore
  if (hasProperties && given["type"] === "object" && !isOpen) tight["additionalProperties"] = false;
  return tight;
}

function sayError({ instancePath, message, params }: ErrorObject): string {
  return `${instancePath}: ${message} ${JSON.stringify(params)}`;
}

const folders = new Map<string, string>();

/** The folder of a Go module, from the module proxy the first time. */
function downloadModule(context: TestContext, module: string): string | undefined {
  const known = folders.get(module);
  if (known !== undefined) return known;
  const { status, stdout, error } = spawnSync("go", ["mod", "download", "-json", module], {
    cwd: tmpdir(),
    encoding: "utf8",
    timeout: 300_000,
  });
  if (status === 0) {
    const { Dir } = JSON.parse(stdout) as { Dir: string };
    folders.set(module, Dir);
    return Dir;
  }
  const reason = `not compared with the schemas in ${module}: ${error?.message ?? stdout.trim()}`;
  if (mustRun()) throw new Error(reason);
  context.skip(reason);
  return undefined;
}
