import { testServices } from "./services.ts";

testServices("userspace", false);
