// 64 workflows of durable steps that do nothing, on a Restate server with its default settings.

import * as restate from "@restatedev/restate-sdk";
import { join } from "node:path";
import { eventually, freePort, measured, peakMb, run, scratch, started, tell, took, versionOf } from "./measure.mjs";

const STEPS = 20;

// The library asks for a newer node only to have this.
Promise.withResolvers ??= () => {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};

const bench = restate.service({
  name: "bench",
  handlers: {
    workflow: async (ctx, steps) => {
      for (let number = 0; number < steps; number += 1) {
        const begun = performance.now();
        await ctx.run(`s${number}`, () => number);
        took.push(performance.now() - begun);
      }
      return steps;
    },
  },
});

async function post(url, body) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

await run(async () => {
  const [ingress, admin, node, handler] = [await freePort(), await freePort(), await freePort(), await freePort()];
  await restate.serve({ services: [bench], port: handler });
  const platform = `@restatedev/restate-server-${process.platform}-${process.arch}`;
  const program = join(import.meta.dirname, "node_modules", platform, "bin/restate-server");
  const server = started(program, ["--base-dir", scratch(), "--log-filter", "error"], {
    env: {
      ...process.env,
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
      RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`,
      RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${node}`,
      RESTATE_LISTEN_MODE: "tcp",
      RESTATE_DISABLE_TELEMETRY: "1",
      DO_NOT_TRACK: "1",
    },
  });
  await eventually(() => post(`http://127.0.0.1:${admin}/deployments`, { uri: `http://127.0.0.1:${handler}` }));
  const call = (_, steps) => post(`http://127.0.0.1:${ingress}/bench/workflow`, steps);
  await eventually(() => call("first", 1));
  const seconds = await measured(STEPS, call);
  const version = versionOf("@restatedev/restate-server");
  tell({ version, seconds, peak_mb: peakMb(server.pid), note: "1 row a step, RSS of the server alone" });
});
