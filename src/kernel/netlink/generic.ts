/** Generic netlink: families found by name (`linux/genetlink.h`). */
import { NetlinkError } from "./errors.ts";
import type { NetlinkSocket } from "./socket.ts";

/** A family of generic netlink, such as IPVS. */
export interface GenericFamily {
  readonly name: string;
  /** The message type to use. */
  readonly id: number;
  readonly version: number;
  /** Its multicast groups by name. */
  readonly groups: ReadonlyMap<string, number>;
}

/** The message type of generic netlink's own controller (`GENL_ID_CTRL`). */
const controller = 16;

/**
 * Finds a family by its name.
 *
 * @param socket of protocol `generic`.
 * @returns undefined if the kernel has no such family, nor a module that could be loaded for it.
 */
export function findGenericFamily(socket: NetlinkSocket, name: string): GenericFamily | undefined {
  let family: GenericFamily | undefined;
  try {
    socket.request(
      `find generic netlink family ${name}`,
      controller,
      0,
      (writer) => {
        writer.u32(0x0103); // CTRL_CMD_GETFAMILY, version 1
        writer.attributeString(2, name);
      },
      (message) => {
        let id = 0;
        let version = 0;
        const groups = new Map<string, number>();
        for (const attribute = message.attributes(4); attribute.next(); ) {
          if (attribute.type === 1) id = attribute.u16();
          else if (attribute.type === 3) version = attribute.u32();
          else if (attribute.type === 7) {
            for (const group = attribute.nested(); group.next(); ) {
              let groupName = "";
              let groupId = 0;
              for (const field = group.nested(); field.next(); ) {
                if (field.type === 1) groupName = field.string();
                else if (field.type === 2) groupId = field.u32();
              }
              groups.set(groupName, groupId);
            }
          }
        }
        family = { name, id, version, groups };
      },
    );
  } catch (error) {
    if (error instanceof NetlinkError && error.code === "ENOENT") return undefined;
    throw error;
  }
  return family;
}
