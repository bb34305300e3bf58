"""Ends the turns of a core that answers nothing: nobody can tell whether it ever goes on."""

import asyncio
import logging

from vllm.v1.engine.async_llm import AsyncLLM

from engine.errors import EngineDead, EngineError, EngineSilent
from engine.vllm.translate import generating

logger = logging.getLogger(__name__)

LOOK_S = 1.0


async def end_when_silent(llm: AsyncLLM, engine: str, hang_s: float) -> None:
    """Ask the core while it has turns; when no answer comes for `hang_s`, they end.

    Their work is aborted where the core goes on after all. Returns when the core is dead.
    """
    while True:
        await asyncio.sleep(LOOK_S)
        if not llm.get_num_unfinished_requests():
            continue
        try:
            async with asyncio.timeout(hang_s):
                with generating(engine):
                    await llm.is_paused()
        except TimeoutError:
            said = f"engine '{engine}' has said nothing for {hang_s:g} s"
            logger.error("%s: its turns end", said)
            lost = EngineSilent(f"{said}; this answer is lost, please send it again")
            llm.output_processor.propagate_error(lost)
        except EngineDead:
            return
        except EngineError as error:
            logger.warning("engine '%s' could not be asked whether it lives: %s", engine, error)
