// Writes the TypeScript of proto/**/*.proto for packages/rpc. Needs protoc on the PATH (Debian:
// protobuf-compiler); the plugin is a dev dependency. Run it when a .proto changes:
//
//   node scripts/generate-protobuf.mjs
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const output = join(root, "packages/rpc/src/grpc/generated");
const sources = ["millrace/v1/event_service.proto", "grpc/health/v1/health.proto"];

mkdirSync(output, { recursive: true });
const { status, error } = spawnSync(
  "protoc",
  [
    `--plugin=protoc-gen-es=${join(root, "node_modules/.bin/protoc-gen-es")}`,
    `--proto_path=${join(root, "proto")}`,
    `--es_out=${output}`,
    "--es_opt=target=ts,import_extension=ts,erasable_syntax=true",
    ...sources,
  ],
  { stdio: "inherit" },
);
if (error !== undefined) console.error(`protoc did not run: ${error.message}`);
else if (status === 0) {
  // It needs no exception from the rules, and a directive without effect is a warning.
  for (const source of sources) {
    const path = join(output, source.replace(/\.proto$/, "_pb.ts"));
    writeFileSync(path, readFileSync(path, "utf8").replace("/* eslint-disable */\n", ""));
  }
  spawnSync(join(root, "node_modules/.bin/prettier"), ["--log-level=warn", "--write", output], {
    stdio: "inherit",
  });
}
process.exit(status ?? 1);
