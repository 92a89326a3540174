/**
 * The parts of undici that requests to an API server need. All of it, with its web clients, its cache and its mocks,
 * takes 5 MB more in every program that speaks to a cluster, and is loaded only where there is a proxy to go through.
 */
import { createRequire } from "node:module";
import type { Agent, Dispatcher, ProxyAgent } from "undici";

const require = createRequire(import.meta.url);

const AgentClass = require("undici/lib/dispatcher/agent.js") as typeof Agent;
const send = require("undici/lib/api/api-request.js") as (
  this: Dispatcher,
  options: Dispatcher.RequestOptions,
) => Promise<Dispatcher.ResponseData>;

/** Connections to servers. */
export function makeAgent(options: Agent.Options): Dispatcher {
  return new AgentClass(options);
}

/** Connections to servers, through a proxy. */
export function makeProxyAgent(options: ProxyAgent.Options): Dispatcher {
  return new (require("undici") as typeof import("undici")).ProxyAgent(options);
}

/** `dispatcher.request(options)`, a method that undici gives to dispatchers only when all of it is loaded. */
export function request(dispatcher: Dispatcher, options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> {
  return send.call(dispatcher, options);
}
