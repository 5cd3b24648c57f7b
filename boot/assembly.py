"""Builds the parts of one process out of the settings. Wiring only; nothing here is started."""

from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

from pydantic import SecretStr

from boot import clock as clocks
from boot.startup import fingerprint, saved_segments
from config.esp_sections import EspSection, Postmark, Sendgrid, Ses
from config.settings import Settings
from database.engine import Database, DatabaseUnavailable
from email_sender import EmailSender, Options
from feedback import Feedback
from inbound.lessons import Learner
from list_manager import ListManager
from mail.renderer import Urls
from outbound.accounts import AccountWatch
from outbound.checks import Examiner
from outbound.composer import Composer
from outbound.control import CampaignControl
from outbound.draft import Identity
from outbound.drafts import Drafts
from outbound.dry_run import DryRunner
from outbound.esp_watch import EspWatch
from outbound.forecast import Forecaster
from outbound.lane import TransactionalLane
from outbound.launch import Launcher
from outbound.mailboxes import Mailboxes
from outbound.preview import Previewer
from outbound.reconcile import Reconciler
from outbound.schedule import Scheduler
from outbound.transactional import Mailer
from outbound.trial import Tester
from services.amazon_ses import AmazonSes
from services.esp import Capabilities, Esp
from services.esp_manager import EspManager, Policy
from services.postmark import Postmark as PostmarkEsp
from services.quota import Limits
from services.sendgrid import SendGrid
from services.ses_client import AwsKeys
from services.ses_smtp import SesSmtp, endpoint
from services.sns import Topics
from utils.errors import FieldError
from utils.mx import LookUp, asking
from utils.signing import Signer
from web.context import Facts, House
from web.keyring import KeyRing
from work import TURN_SECONDS, Parts, Work

VERSION = "0.1.0"


def build(settings: Settings, clock: Callable[[], float] | None = None) -> tuple[House, Work]:
    """Every part, connected; the work engine is built and not started. Without a clock the one that
    the settings name."""
    clock = clock or clocks.of(settings)
    db = Database(settings.database_url)
    work = work_at(settings.queue_url)
    signers = {kind: Signer(settings.secret_keys, kind) for kind in ("tracking", "consent")}
    urls = Urls(settings.public_url, signers["tracking"], signers["consent"])
    composer = Composer(
        urls,
        postal_address=settings.mail.postal_address,
        unsubscribe_mailto=settings.mail.unsubscribe_mailto,
    )
    manager = EspManager(adapters(settings), policies(settings))
    saved = saved_segments()
    lists = ListManager(
        db, erasure_key=settings.erasure_key, clock=clock, saved=saved,
        refused=settings.mail.refuse_addresses,
    )  # fmt: skip
    wait = settings.sending.in_doubt_wait_seconds
    reconciler = Reconciler(db, manager.esps, wait_seconds=wait, clock=clock)
    mailboxes = Mailboxes(db, mx_look_up(settings), clock)
    sender = EmailSender(db, manager, composer, options(settings), clock, mailboxes=mailboxes)
    lane = TransactionalLane(db, partial(sender.drain, seconds=TURN_SECONDS, patience=0.0), clock)
    learner = Learner(db, mailboxes, clock)
    who = identity(settings)
    examiner = Examiner(db, composer, who, saved, clock)
    scheduler = Scheduler(
        db, examiner, grace_seconds=settings.sending.schedule_grace_seconds, wake=work.wake,
        clock=clock,
    )  # fmt: skip
    house = House(
        settings=facts(settings),
        keyring=KeyRing((k.label, k.scope, shown(k.secret)) for k in settings.api_keys),
        db=db,
        esps=manager.esps,
        manager=manager,
        sender=sender,
        launcher=Launcher(db, examiner, wake=work.wake, clock=clock),
        drafts=Drafts(db, examiner, clock),
        previewer=Previewer(db, examiner),
        dry_runner=DryRunner(db, examiner, manager, Forecaster(manager, mailboxes), clock),
        tester=Tester(db, composer, examiner, lists.alias, wake=lane.wake, clock=clock),
        mailer=Mailer(db, composer, who, lists.alias, wake=lane.wake, clock=clock),
        lane=lane,
        control=CampaignControl(
            db, wake=work.wake, clock=clock, resume_unlaunched=scheduler.resume
        ),
        lists=lists,
        urls=urls,
        signers=signers,
        wake=work.wake,
        heartbeat_age=work.heartbeat_age,
        clock=clock,
        feedback=Feedback(db, lists, clock, teach=learner.add),
        extras={
            "composer": composer,
            "reconciler": reconciler,
            "scheduler": scheduler,
            "accounts": AccountWatch(db, manager, clock),
            "learner": learner,
            "mailboxes": mailboxes,
            "esp_watch": EspWatch(db, manager, clock),
            "segments": saved,
        },
    )
    return house, work


def work_at(queue_url: str) -> Work:
    """The work engine. What its store raises when it cannot be opened is told as one of ours."""
    try:
        return Work(queue_url)
    except Exception as error:
        raise DatabaseUnavailable(f"the queue (QUEUE_URL) cannot be opened: {error}") from error


def check_queue(settings: Settings) -> None:
    """Whether the queue can be opened, asked before anything is started."""
    work_at(settings.queue_url).huey.storage.close()


def parts_of(house: House) -> Parts:
    """What the work engine's tasks call."""
    return Parts(
        launcher=house.launcher,
        sender=house.sender,
        control=house.control,
        lane=house.lane,
        scheduler=house.extras["scheduler"],
        chores=(
            house.extras["esp_watch"].tick,
            house.extras["accounts"].refresh,
            house.extras["reconciler"].tick,
            house.extras["mailboxes"].tick,
        ),
    )


def mx_look_up(settings: Settings) -> LookUp | None:
    """How MX records are asked for; not in sandbox, where nothing leaves this machine."""
    return None if settings.is_sandbox else asking(settings.sending.dns_resolvers)


def facts(settings: Settings) -> Facts:
    """What the web needs of the settings."""
    by_priority = sorted(settings.esps.values(), key=lambda esp: (esp.priority, esp.name))
    return Facts(
        mode=settings.mode,
        public_url=settings.public_url,
        simulator_url=settings.simulator_url if settings.is_sandbox else None,
        max_request_bytes=settings.service.max_request_mb * 1_000_000,
        trusted_proxies=settings.service.trusted_proxies,
        version=VERSION,
        esp_names=tuple(esp.name for esp in by_priority),
        erasure_fingerprint=fingerprint(settings.erasure_key),
        unheard=settings.unheard,
    )


def options(settings: Settings) -> Options:
    """How long things may take."""
    used = [esp.timeout_seconds for esp in settings.esps.values()]
    return Options(
        lease_seconds=settings.sending.lease_seconds,
        timeout_seconds=max(used),
        pause_on_suspension=settings.sending.on_suspension == "pause",
    )


def identity(settings: Settings) -> Identity:
    """Who sends."""
    return Identity(
        mode=settings.mode,
        from_email=settings.mail.mail_from or "",
        from_name=settings.mail.mail_from_name,
        reply_to=settings.mail.mail_reply_to,
        from_domains=settings.from_domains,
        esps=frozenset(
            name for name, esp in settings.esps.items() if esp.configured or settings.is_sandbox
        ),
        blockers=tuple(FieldError(found.name, found.message) for found in settings.not_ready),
        unheard=settings.unheard,
    )


def policies(settings: Settings) -> dict[str, Policy]:
    """How each ESP is to be used."""
    reserve = settings.sending.transactional_reserve_percent
    return {
        name: Policy(
            priority=esp.priority,
            weight=esp.weight,
            limits=Limits(
                esp.daily_limit,
                esp.rate_per_second,
                reserve,
                until_told=esp.rate_until_told if esp.rate_from_esp else None,
            ),
            batch_size=esp.batch_size,
        )
        for name, esp in settings.esps.items()
        if esp.configured
    }


def adapters(settings: Settings) -> dict[str, Esp]:
    """The adapters of the ESPs that are configured; their SDKs are imported at first use."""
    every: dict[str, Callable[[], Esp]] = {
        "sendgrid": lambda: sendgrid(settings.sendgrid),
        "ses": lambda: ses(settings.ses, public_name(settings.public_url)),
        "postmark": lambda: postmark(settings.postmark),
    }
    return {name: make() for name, make in every.items() if settings.esps[name].configured}


def sendgrid(its: Sendgrid) -> Esp:
    """SendGrid's adapter."""
    return SendGrid(
        shown(its.api_key),
        capabilities(its),
        base_url=its.base_url,
        timeout_seconds=its.timeout_seconds,
        batch_size=its.batch_size,
        webhook_public_keys=its.webhook_public_keys,
    )


def ses(its: Ses, name: str | None = None) -> Esp:
    """Amazon SES' adapter; without keys of ours boto3 looks for some. `name` is ours for EHLO."""
    keys = AwsKeys(shown(its.access_key_id), shown(its.secret_access_key))
    api = AmazonSes(
        capabilities(its),
        keys=keys if its.access_key_id else None,
        region=its.region,
        endpoint_url=its.base_url,
        timeout_seconds=its.timeout_seconds,
        batch_size=its.batch_size,
        configuration_set=its.configuration_set or None,
        topics=Topics(its.topic_arns, its.certificate_pem, its.sns_endpoint_url),
    )
    if its.transport == "api":
        return api
    server = endpoint(
        keys, its.region, its.smtp_host, its.smtp_port, starttls=its.smtp_starttls == "1",
        hello=name,
    )  # fmt: skip
    return SesSmtp(
        capabilities(its),
        server,
        api,
        timeout_seconds=its.timeout_seconds,
        configuration_set=its.configuration_set or None,
    )


def public_name(url: str) -> str | None:
    """The name under which the world knows us, if it has one with a dot and a letter."""
    host = urlsplit(url).hostname or ""
    return host if "." in host and not host.replace(".", "").isdigit() and ":" not in host else None


def postmark(its: Postmark) -> Esp:
    """Postmark's adapter."""
    return PostmarkEsp(
        shown(its.api_key),
        capabilities(its),
        base_url=its.base_url,
        timeout_seconds=its.timeout_seconds,
        batch_size=its.batch_size,
        broadcast_stream=its.message_stream,
        transactional_stream=its.transactional_stream,
        webhook_logins=[(name, shown(word)) for name, word in its.webhook_logins],
    )


def shown(secret: SecretStr | None) -> str:
    """The secret itself, at the one place where it is handed over."""
    return secret.get_secret_value() if secret else ""


def capabilities(esp: EspSection) -> Capabilities:
    """The ESP's own maxima, in the words of services/."""
    return Capabilities(**esp.facts.fields())
