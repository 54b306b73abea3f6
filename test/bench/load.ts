/**
 * The load: `load.ts <port> <batch> <connections> <inFlight> <warmUpMs> <measureMs>`. Sends one
 * prepared appendBatch again and again, so that preparing costs nothing, and counts the replies.
 * Prints `begin` and `end` lines around the measured time, then one line of JSON.
 */
import { connect, type Socket } from "node:net";
import { createFrame, flumeHash, replyStatus } from "./frame.ts";

const [port, batch, connections, inFlight, warmUpMs, measureMs] = process.argv
  .slice(2)
  .map(Number) as [number, number, number, number, number, number];

let acknowledged = 0;
let failed = 0;
let stopping = false;
const sockets: Socket[] = [];
const done: Promise<void>[] = [];

for (let i = 0; i < connections; i++) done.push(drive());

await delay(warmUpMs);
const before = { acknowledged, failed, at: performance.now() };
console.log("begin");
await delay(measureMs);
const seconds = (performance.now() - before.at) / 1000;
const result = {
  events: acknowledged - before.acknowledged,
  failed: failed - before.failed,
  seconds,
};
console.log("end");
stopping = true;
await Promise.race([Promise.all(done), delay(5000)]);
for (const socket of sockets) socket.destroy();
console.log(JSON.stringify({ ...result, total: acknowledged }));
process.exit(0);

/** One connection: the handshake with the first batch, then `inFlight` batches at any time. */
function drive(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    sockets.push(socket);
    socket.setNoDelay(true);
    const first = createFrame(batch, flumeHash);
    const next = createFrame(batch, undefined);
    let serial = 0;
    let waiting = 0;
    let pending: Buffer = Buffer.alloc(0);
    const send = (): void => {
      serial++;
      waiting++;
      const frame = serial === 1 ? first : next;
      const head = Buffer.from(frame.head);
      head.writeInt32BE(serial, 0);
      socket.cork();
      socket.write(head);
      socket.write(frame.body);
      socket.uncork();
    };
    socket.on("connect", send);
    socket.on("data", (chunk: Buffer) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      for (;;) {
        const reply = replyStatus(pending);
        if (reply === undefined) break;
        pending = pending.subarray(reply.bytes);
        waiting--;
        if (reply.ok) acknowledged += batch;
        else failed += batch;
        if (stopping && waiting === 0) {
          resolve();
          return;
        }
        while (!stopping && waiting < inFlight) send();
      }
    });
    socket.on("error", reject);
  });
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
