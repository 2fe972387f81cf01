/** Bounds connections, those that send nothing included: of all clients, and of each address. */
import type { Server } from "node:net";

const mostConnections = 1024;
const mostPerAddress = 512;

/** Closes connections beyond the bounds at once. */
export function limitConnections(server: Server, most = mostConnections, mostOfOne = mostPerAddress): void {
  const counts = new Map<string, number>();
  server.maxConnections = most;
  server.on("connection", (socket) => {
    const address = socket.remoteAddress ?? "";
    const count = (counts.get(address) ?? 0) + 1;
    counts.set(address, count);
    socket.once("close", () => {
      const rest = (counts.get(address) ?? 0) - 1;
      if (rest > 0) {
        counts.set(address, rest);
      } else {
        counts.delete(address);
      }
    });
    if (count > mostOfOne) {
      socket.destroy();
    }
  });
}
