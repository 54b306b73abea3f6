// The image's software bill of materials, by npm: CycloneDX JSON, with the lock file's hashes.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * What `npm sbom` says of the assembled folder: `needed` are the lock file's keys that are in it. The
 * same input gives the same text: its serial number is made of the lock file, and it names no time.
 */
export function createSbom(app, lock, needed) {
  const lockText = JSON.stringify({
    ...lock,
    packages: {
      "": { ...lock.packages[""], devDependencies: undefined },
      ...Object.fromEntries(needed.map((path) => [path, withoutOptional(lock.packages[path])])),
    },
  });
  const lockFile = join(app, "package-lock.json");
  writeFileSync(lockFile, lockText);
  const words = ["sbom", "--sbom-format=cyclonedx", "--package-lock-only", "--omit=dev"];
  const { status, stdout, stderr, error } = spawnSync("npm", words, {
    cwd: app,
    encoding: "utf8",
    maxBuffer: 64 << 20,
    shell: process.platform === "win32",
  });
  rmSync(lockFile);
  if (status !== 0) throw new Error(`npm ${words.join(" ")} failed: ${error?.message ?? stderr}`);
  const bill = JSON.parse(stdout);

  bill.serialNumber = `urn:uuid:${uuidOf(lockText)}`;
  delete bill.metadata.timestamp;
  // npm names what lies in a workspace after its folder: "cli" for @millrace/cli.
  for (const component of [bill.metadata.component, ...bill.components]) {
    component.name = nameOf(component.purl) ?? component.name;
  }
  bill.metadata.component.type = "application";
  return `${JSON.stringify(bill, undefined, 2)}\n`;
}

function withoutOptional({ optionalDependencies: _, devDependencies: __, ...rest }) {
  return rest;
}

/** "@millrace/cli" of "pkg:npm/%40millrace/cli@0.1.0". */
function nameOf(purl) {
  const found = /^pkg:npm\/(.+)@[^@]+$/.exec(purl ?? "");
  return found === null ? undefined : decodeURIComponent(found[1]);
}

function uuidOf(text) {
  const hex = createHash("sha256").update(text).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
