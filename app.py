"""Wiring: settings become parts, parts become an application, a worker and a command line.

`python app.py` starts the web with the worker inside, and in sandbox the simulator beside it.
"""

from boot.rerun import EX_UNAVAILABLE, in_venv

if __name__ == "__main__":  # before anything that only .venv has
    in_venv(__file__)

import time
from functools import cache, partial

from boot.assembly import VERSION, build, check_queue, parts_of
from boot.serving import (
    CannotServe,
    Engine,
    Web,
    at_running_simulator,
    run_worker,
    serve_simulator,
    simulator,
    wait_for_simulator,
)
from boot.startup import (
    StartRefused,
    checked,
    in_force,
    is_command,
    leave,
    prepare,
    read_settings,
    welcome,
)
from cli.register import register
from cli.tools import SettingsReport, Tools
from config import report
from config.settings import EX_CONFIG, Settings, SettingsError
from database.engine import DatabaseUnavailable
from web import (
    auth,
    campaigns,
    consent,
    drafts,
    errors,
    esps,
    frame,
    health,
    imports,
    metrics,
    openapi,
    previews,
    sandbox,
    segments,
    send_email,
    sends,
    subscribers,
    tracking,
    webhooks,
)
from web.context import House

SIMULATOR_SECONDS = 60
BLUEPRINTS = (
    campaigns.blueprint, drafts.blueprint, previews.blueprint, send_email.blueprint,
    sends.blueprint, subscribers.blueprint, imports.blueprint, segments.blueprint, esps.blueprint,
    health.blueprint,
    metrics.blueprint, sandbox.blueprint, webhooks.blueprint, tracking.blueprint,
    consent.blueprint,
)  # fmt: skip


def create_app(settings: Settings | None = None) -> openapi.Api:
    """The application. Given settings count as they are, and a database that does not fit them
    raises StartRefused; else they are read, and what is wrong exits with 78. For a command
    (`flask --app app …`) all that waits until the command asks for a part."""
    if settings is not None:
        return application(build(checked(settings, time.time()))[0])
    if is_command():
        return application(None)
    return application(build(at_running_simulator(_fitting(in_force())))[0])


def application(house: House | None) -> openapi.Api:
    """Frame, gate, blueprints and commands around the parts; None = built when first asked for."""
    app = openapi.Api("app", version=VERSION, template_folder="web/templates",
                      static_folder="web/static")  # fmt: skip
    app.extensions["house"] = house or cache(lambda: build(at_running_simulator(in_force()))[0])
    if house is not None:
        frame.install(app, house.settings)
        auth.install(app)
        frame.install_body_checks(app)
    else:
        frame.install_paths(app)
    errors.install(app)
    for blueprint in BLUEPRINTS:
        app.register_api(blueprint)
    app.register_blueprint(openapi.docs)
    register(app, Tools(settings_report, serve_worker, serve_simulator))
    return app


def settings_report() -> SettingsReport:
    """For the command `settings`."""
    try:
        settings = read_settings()
    except SettingsError as error:
        return SettingsReport({}, {p.name: p.message for p in error.problems}, (), ())
    return SettingsReport(dict(report.lines(settings)), {}, settings.warnings, settings.ignored)


def serve_worker() -> None:
    """For the command `worker`."""
    try:
        settings = _fitting(in_force())
        check_queue(settings)
        if settings.is_sandbox:
            settings = wait_for_simulator(settings, SIMULATOR_SECONDS)
        house, work = build(settings)
        run_worker(work, parts_of(house), lambda: print("The worker is running.", flush=True))
    except CannotServe as error:
        leave(EX_UNAVAILABLE, str(error))
    except DatabaseUnavailable as error:
        leave(EX_UNAVAILABLE, f"The database cannot be used: {error}")


def main() -> None:
    """Web, worker and simulator in the foreground, one process tree."""
    settings = in_force()
    try:
        if copy := prepare(settings, time.time()):
            print(f"The database was upgraded; a copy of the former one is {copy}", flush=True)
        check_queue(settings)
        with simulator(settings) as (complete, look_after):
            ready = partial(print, welcome(complete), flush=True)
            Web(complete, lambda: _engine(complete), ready, look_after).run()
    except StartRefused as error:
        leave(EX_CONFIG, str(error))
    except CannotServe as error:
        leave(EX_UNAVAILABLE, str(error))
    except DatabaseUnavailable as error:
        leave(EX_UNAVAILABLE, f"The database cannot be used: {error}")


def _engine(settings: Settings) -> Engine:
    house, work = build(settings)
    return Engine(application(house), work, parts_of(house), house.close)


def _fitting(settings: Settings) -> Settings:
    try:
        return checked(settings, time.time())
    except StartRefused as error:
        leave(EX_CONFIG, str(error))


if __name__ == "__main__":
    main()
