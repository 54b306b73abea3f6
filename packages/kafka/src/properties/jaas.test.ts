import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJaas } from "./jaas.ts";

const plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
const scram = "org.apache.kafka.common.security.scram.ScramLoginModule";

void test("user and password are read as Java reads them", () => {
  const cases = [
    [`${plain} required username="u" password="p;= \\"x\\\\";`, "plain", 'p;= "x\\'],
    [`${plain} required\n  username='u'\n  password=bare ;`, "plain", "bare"],
    [`${scram} REQUIRED password="" username="u"`, "scram-sha-512", ""],
    [`${scram} required username="u" password="p" tokenauth="true";`, "scram-sha-256", "p"],
  ] as const;
  for (const [text, mechanism, password] of cases) {
    assert.deepEqual(parseJaas(text, mechanism), { mechanism, username: "u", password }, text);
  }
});

void test("what cannot be used is said", () => {
  const cases = [
    ["", /no|not a login module/],
    [
      `${scram} required username="u" password="p";`,
      /names .*ScramLoginModule; PLAIN needs PlainLoginModule/,
    ],
    [`${plain} required username="u";`, /no password/],
    [`${plain} required username="u" password="p" junk;`, /behind its options/],
    [`${plain} username="u" password="p";`, /not a login module/],
  ] as const;
  for (const [text, want] of cases) assert.match(String(parseJaas(text, "plain")), want);
});
