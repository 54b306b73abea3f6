import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { tempDirectory } from "../temp-directory.ts";
import { createTestAuthority } from "../tls/test-authority.ts";
import { createKubernetesApiServer, type KubernetesApiServer } from "./api-server.ts";

/** An API server, and the files by which a pod is let in. */
export interface TestCluster {
  readonly server: KubernetesApiServer;
  readonly tokenFile: string;
  readonly caFile: string;
  /** From now on only this token is let in; the file holds it when `written`. */
  rotateToken(token: string, written?: boolean): Promise<void>;
}

/** A cluster of the test's own, with TLS and one service account; it ends with the test. */
export async function createTestCluster(test: TestContext): Promise<TestCluster> {
  const directory = await tempDirectory(test);
  const authority = createTestAuthority("kubernetes");
  const server = await createKubernetesApiServer(authority);
  test.after(() => server.stop());
  const tokenFile = join(directory, "token");
  const caFile = join(directory, "ca.crt");
  await writeFile(caFile, authority.certificatePem);
  const cluster: TestCluster = {
    server,
    tokenFile,
    caFile,
    async rotateToken(token, written = true) {
      server.tokens.clear();
      server.tokens.add(token);
      if (written) await writeFile(tokenFile, `${token}\n`);
    },
  };
  await cluster.rotateToken("token-1");
  return cluster;
}
