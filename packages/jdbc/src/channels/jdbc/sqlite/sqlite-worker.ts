/** The thread that waits for SQLite and the disk, so that the agent's event loop does not. */
import { parentPort } from "node:worker_threads";
import type { PackedRows } from "../packed-events.ts";
import type { SqliteRequest } from "./sqlite-messages.ts";
import { createSqliteService } from "./sqlite-service.ts";

const answer = createSqliteService();
parentPort?.on("message", (request: SqliteRequest) => {
  void answer(request).then((reply) => parentPort?.postMessage(reply, transferOf(reply.rows)));
});

function transferOf(rows: PackedRows | undefined): ArrayBuffer[] {
  if (rows === undefined) return [];
  return [rows.slab, rows.offsets, rows.sequences, rows.putTimesMs].map(({ buffer }) => buffer);
}
