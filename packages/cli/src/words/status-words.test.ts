import assert from "node:assert/strict";
import { test } from "node:test";
import { splitWords } from "./split-words.ts";
import { parseStatusWords, type StatusWords } from "./status-words.ts";

function parse(line: string): ReturnType<typeof parseStatusWords> {
  const words = splitWords(line.split(" "));
  return parseStatusWords(words, words.command === "top" ? "top" : "status");
}

function parsed(line: string): StatusWords {
  const words = parse(line);
  if (words === "help" || "problem" in words) throw new Error(JSON.stringify(words));
  return words;
}

test("without words status asks the socket of a pod, a second apart; top looks every two", () => {
  assert.deepEqual(parsed("status"), {
    addresses: [],
    socket: "/run/millrace/agent.sock",
    port: 41414,
    isJson: false,
    intervalMs: 1000,
    count: Infinity,
  });
  assert.equal(parsed("top -H a").intervalMs, 2000);
});

test("addresses come with -H and without, in lists and one by one; what has commas of its own is one", () => {
  const { addresses } = parsed("status -H a:1,[::1]:2, -H dns://n:3 consul://s?tag=a,b c");
  assert.deepEqual(addresses, ["a:1", "[::1]:2", "dns://n:3", "consul://s?tag=a,b", "c"]);
});

for (const { given, want } of [
  { given: "dns://n:1,dns://m:2", want: ["dns://n:1", "dns://m:2"] },
  { given: "dns://n:1,a:2,consul://s", want: ["dns://n:1", "a:2", "consul://s"] },
  { given: "consul://s?tag=a,b,dns://n:1", want: ["consul://s?tag=a,b", "dns://n:1"] },
]) {
  test(`a list may have addresses of every kind: ${given}`, () => {
    assert.deepEqual(parsed(`status -H ${given}`).addresses, want);
  });
}

test("every figure and the socket can be given", () => {
  const { count, intervalMs, port } = parsed("top -H a -p 9 -i 0.5 -n 3");
  assert.deepEqual([count, intervalMs, port], [3, 500, 9]);
  const { isJson, socket } = parsed("status -S /a/b.sock --json");
  assert.deepEqual([isJson, socket], [true, "/a/b.sock"]);
  assert.equal(parse("status --help"), "help");
});

for (const { given, says } of [
  { given: "status -p 0", says: /--port 0 is not a port/ },
  { given: "status -p 65536", says: /--port 65536 is not a port/ },
  { given: "status -i 0", says: /--interval 0 is not a number of seconds/ },
  { given: "status -i x", says: /--interval x is not a number/ },
  { given: "top -H a -n 0", says: /--count 0 is not a whole number/ },
  { given: "top -H a -n 1.5", says: /--count 1.5 is not a whole number/ },
  { given: "status -n 3", says: /-n is for top/ },
  { given: "top --json -H a", says: /--json is for status/ },
  { given: "top", says: /give -H/ },
  { given: "top -H ,", says: /give -H/ },
  { given: "status -S /a -H b", says: /-S <path> or addresses/ },
  { given: "status --nothing", says: /--nothing/ },
]) {
  test(`"${given}" is answered with what is wrong`, () => {
    const words = parse(given);
    assert.ok(typeof words === "object" && "problem" in words, JSON.stringify(words));
    assert.match(words.problem, says);
  });
}
