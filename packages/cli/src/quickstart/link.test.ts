import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { waitFor, within } from "@millrace/testing";
import { test } from "node:test";
import { openLink } from "./link.ts";

void test("a stalled link keeps its connections and carries nothing until it is let go", async (t) => {
  const target = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
  await once(target, "listening");
  const link = await openLink((target.address() as AddressInfo).port);
  t.after(async () => {
    await link.close();
    target.close();
  });
  const socket = connect({ host: "127.0.0.1", port: link.port });
  let echoed = "";
  socket.on("data", (chunk) => (echoed += String(chunk)));
  socket.write("one");
  await waitFor("an echo", () => echoed === "one");
  link.setStalled(true);
  socket.write("two");
  const late = connect({ host: "127.0.0.1", port: link.port });
  await within("a stalled connection", once(late, "connect"));
  assert.equal(echoed, "one");
  assert.equal(socket.destroyed, false);
  link.setStalled(false);
  await waitFor("the rest", () => echoed === "onetwo");
  late.destroy();
  socket.destroy();
});

void test("a link whose target is down resets the connection", async (t) => {
  const free = await openLink(1);
  await free.close();
  const link = await openLink(free.port);
  t.after(() => link.close());
  const socket = connect({ host: "127.0.0.1", port: link.port });
  const [error] = (await within("the reset", once(socket, "error"))) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
});
