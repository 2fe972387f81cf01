/** A server on the loopback interface that has one page. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { EnvironmentError, systemErrorCode } from "../errors.js";

export interface PageServer {
  /** `http://127.0.0.1:8080/` */
  readonly url: string;
  stop(): Promise<void>;
}

/** Serves a page. Throws an EnvironmentError if the port is taken. */
export async function servePage(html: string, port: number): Promise<PageServer> {
  const server = createServer((request, response) => {
    const isPage = new URL(request.url ?? "/", "http://127.0.0.1").pathname === "/";
    // Pages of other sites that resolve their name to this computer have theirs here.
    const isLocal = /^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? "");
    if (!isPage || !isLocal || (request.method !== "GET" && request.method !== "HEAD")) {
      response.writeHead(404).end();
      return;
    }
    response
      .writeHead(200, {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
      })
      .end(request.method === "HEAD" ? undefined : html);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new EnvironmentError(
          `port ${port} cannot be listened on (${systemErrorCode(cause) ?? cause.message}); choose another with \`port\`.`,
          { port },
          { cause },
        ),
      ),
    );
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
