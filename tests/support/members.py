"""Members of a consumer group whose processes were killed."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest


async def remove_members(servers: str, group: str) -> None:
    """Makes all members leave the group. None of their processes may be alive.

    Otherwise the broker notices that they are gone only when their session ends, after six seconds
    at least, and the next member of the group waits for that.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        coordinator = await admin.find_coordinator(group)
        (described,) = await admin.describe_consumer_groups([group], coordinator)
        members = described.to_object()["groups"][0]["members"]
        for member in members:
            request = LeaveGroupRequest(group, member["member_id"])
            await admin._send_request(request, coordinator)
    finally:
        await admin.close()
