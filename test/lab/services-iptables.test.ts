import { testServices } from "./services.ts";

testServices("iptables");
