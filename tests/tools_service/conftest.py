"""The real service on a real socket, with tools whose end the test decides."""

from collections.abc import AsyncIterator

import pytest

from tests.tools_service.tool_stand_ins import Stand, stand
from tools_service.service import running


@pytest.fixture
async def service() -> AsyncIterator[Stand]:
    built = stand(shutdown_s=0)
    async with running(built.parts) as url:
        built.url = url
        yield built
