import { startChild } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";

const program = (reset: string): string => `
  import { createServer, connect } from "node:net";
  import { resetConnection } from ${JSON.stringify(new URL("reset-connection.ts", import.meta.url).href)};
  const server = createServer((peer) => peer.on("error", () => {}));
  server.listen(0, "127.0.0.1", () => {
    const socket = connect(server.address().port, "127.0.0.1", () => {
      ${reset}
      server.close();
    });
    socket.on("error", (error) => console.log(error.code));
    socket.on("close", () => console.log("closed"));
  });
`;

for (const { what, reset } of [
  { what: "that is open", reset: "resetConnection(socket);" },
  { what: "whose end is being sent", reset: "socket.end(); queueMicrotask(() => resetConnection(socket));" }, // prettier-ignore
]) {
  void test(`a connection ${what} is gone after its reset, and its process ends`, async (t) => {
    const words = ["--import=tsx", "--input-type=module", "--eval", program(reset)];
    const child = startChild(t, { command: [process.execPath, ...words] });
    const exit = await child.exited();
    assert.deepEqual([exit.code, child.output()], [0, "closed\n"]);
  });
}
