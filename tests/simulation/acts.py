"""All kinds of steps, by name."""

from typing import Final

from tests.simulation import damage, haggling, images, older, rarer, steps
from tests.simulation.plan import Step
from tests.simulation.world import SimulatedWorld

_RARER: Final = (
    *(rarer.blunder, rarer.finish, rarer.contend, rarer.roll_back),
    *(rarer.hand_over, rarer.assign, rarer.enlist, rarer.fad, rarer.inflate, rarer.forget, rarer.come_back_late),
    *(damage.damage, damage.spoil_sum, images.build_images, images.spoil_image, images.reinstall),
    older.update_app,
    *(haggling.haggle, haggling.answer_quotes),
)
ACTS: Final[dict[str, steps.Act]] = steps.ACTS | {act.__name__: act for act in _RARER}


async def take(world: SimulatedWorld, step: Step) -> None:
    """Take one step."""
    await ACTS[step.kind](world, world.handsets[step.device % len(world.handsets)], step)
