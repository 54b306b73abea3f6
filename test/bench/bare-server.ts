/**
 * The bare loop that agents are compared with: reads frames, counts them, answers OK, keeps
 * nothing and looks at nothing. With `--assemble` it copies each buffer into memory of its own, as
 * whoever keeps events must. Prints its port.
 */
import { createServer, type Socket } from "node:net";

/** Replies whose first four bytes become the serial: the first one with the handshake's BOTH. */
const firstReply = Buffer.from(
  "0000000000000003" + "0000000400000000" + "0000000100" + "000000020000",
  "hex",
);
const nextReply = Buffer.from("0000000000000002" + "0000000100" + "000000020000", "hex");

const assemble = process.argv.includes("--assemble");

const server = createServer((socket) => serve(socket));
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (address !== null && typeof address === "object") console.log(`port ${address.port}`);
});

function serve(socket: Socket): void {
  socket.setNoDelay(true);
  let serial = 0;
  let buffersLeft = 0;
  let bodyLeft = 0;
  let head: Buffer = Buffer.alloc(0);
  let reply = firstReply;
  let slab: Buffer = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    let at = 0;
    while (at < chunk.length) {
      if (bodyLeft > 0) {
        const taken = Math.min(bodyLeft, chunk.length - at);
        if (assemble) chunk.copy(slab, slab.length - bodyLeft, at, at + taken);
        bodyLeft -= taken;
        at += taken;
      } else {
        const need = buffersLeft === 0 ? 8 : 4;
        const part = chunk.subarray(at, at + need - head.length);
        head = head.length === 0 ? part : Buffer.concat([head, part]);
        at += part.length;
        if (head.length < need) return;
        if (need === 8) {
          serial = head.readInt32BE(0);
          buffersLeft = head.readInt32BE(4);
        } else {
          bodyLeft = head.readInt32BE(0);
          if (assemble) slab = Buffer.allocUnsafeSlow(bodyLeft);
          buffersLeft--;
        }
        head = Buffer.alloc(0);
        if (need === 8) continue;
      }
      if (bodyLeft === 0 && buffersLeft === 0) {
        const answer = Buffer.from(reply);
        answer.writeInt32BE(serial, 0);
        socket.write(answer);
        reply = nextReply;
      }
    }
  });
}
