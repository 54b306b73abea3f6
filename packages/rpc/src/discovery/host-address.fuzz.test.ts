import { MillraceError } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatHost, parseHostAddress } from "./host-address.ts";
import { parseInstances } from "./service-instances.ts";

const numRuns = Number(process.env["SEEDS"] ?? 2000);

const piece = fc.oneof(
  fc.constantFrom("dns", "dns+srv", "consul", "://", ":", "/", "?", "&", "=", "[", "]", "%", "."),
  fc.constantFrom("_m._tcp.", "interval=", "30s", "tag=a", "agent=", "server=", "cache=/x", "::1"),
  fc.constantFrom("4141", "0", "65536", "collectors", "10.0.0.7", "%zz", "%20", " ", "\u0000", "ä"),
  fc.string({ maxLength: 4 }),
);
const text = fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join(""));

test("any text is an address of sound parts, or CONFIG_INVALID with the text in it", () => {
  let addresses = 0;
  fc.assert(
    fc.property(
      text,
      fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
      (t, port) => {
        try {
          const address = parseHostAddress(t, port);
          addresses++;
          if (address.kind !== "static" && address.kind !== "dns") return;
          assert.ok(address.port >= 1 && address.port <= 65_535);
          const host = address.kind === "static" ? address.host : address.name;
          const again = parseHostAddress(formatHost({ host, port: address.port }));
          assert.deepEqual(again, { ...again, host, port: address.port });
        } catch (error) {
          if (!(error instanceof MillraceError)) throw error;
          assert.equal(error.code, "CONFIG_INVALID");
          assert.ok(error.message.startsWith(`"${t}" is not the address of a host: `));
        }
      },
    ),
    { numRuns },
  );
  assert.ok(addresses > numRuns / 200, `only ${addresses} were addresses`);
});

test("whatever a Consul answers, what is taken of it can be connected to", () => {
  const part = fc.oneof(fc.jsonValue(), fc.integer(), fc.string(), fc.constantFrom("h1", 4141, 0));
  const entry = fc.record(
    {
      Node: fc.oneof(part, fc.record({ Address: part })),
      Service: fc.oneof(part, fc.record({ Address: part, Port: part, Weights: part })),
    },
    { requiredKeys: [] },
  );
  let instances = 0;
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.array(entry)), (body) => {
      for (const { address, port, weight } of parseInstances(body)) {
        instances++;
        assert.ok(typeof address === "string" && address !== "");
        assert.ok(Number.isInteger(port) && port >= 1 && port <= 65_535);
        assert.ok(weight > 0);
      }
    }),
    { numRuns },
  );
  assert.ok(instances > numRuns / 200, `only ${instances} instances`);
});
