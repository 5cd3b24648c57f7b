"""Names, cities and domains in many scripts, as data. All domains are reserved (RFC 2606) or stand
under the reserved `.example`, so no mail to them can reach anybody."""

from typing import NamedTuple


class Script(NamedTuple):
    """First and last names that belong together, and domains somebody so named might have."""

    name: str
    firsts: tuple[str, ...]
    lasts: tuple[str, ...]
    cities: tuple[str, ...]
    domains: tuple[str, ...] = ()  #: beside `DOMAINS`; as people write them


def _script(name: str, firsts: str, lasts: str, cities: str, domains: str = "") -> Script:
    """Names without blanks, one after the other; cities between semicolons."""
    places = tuple(city.strip() for city in cities.split(";"))
    return Script(name, tuple(firsts.split()), tuple(lasts.split()), places, tuple(domains.split()))


#: Where most people are.
DOMAINS = (
    "example.com", "example.org", "example.net", "mail.example.com", "post.example.org",
    "letters.example.net",
)  # fmt: skip

SCRIPTS = (
    _script(
        "ASCII", "Anna Ben Clara David Ella Frank Grace Henry Ida Jack Kate Liam Mary Noah Olive",
        "Baker Carter Dawson Ellis Fisher Grant Harper Irving Jensen King Lambert Mason Norton",
        "London; New York; Dublin; Sydney; Cape Town",
    ),
    _script(
        "apostrophe", "Siobhan D'Arcy Aoife Gianluca Mairead T'Pau Sean",
        "O'Neill O’Brien D'Angelo Dell'Acqua N'Diaye M'Baye O'Hara L'Hermite",
        "Cork; L'Aquila; Val-d'Or; St John's",
    ),
    _script(
        "Latin", "Zoë Jürgen Søren Łukasz Inês Chloé Åsa Renée Şebnem Þóra Đorđe Nuño Ăna Ēriks",
        "Müller Großmann Šimková Nguyễn Çelik Ångström Gonçalves Żółć Dvořák Őry Muñoz Lefèvre",
        "Zürich; Malmö; Łódź; São Paulo; Besançon; Ærøskøbing; Reykjavík",
        "bücher.example lärm.example smørrebrød.example",
    ),
    _script(
        "Cyrillic", "Мария Иван Ольга Дмитрий Оксана Ђорђе Їванна Николай",
        "Иванова Петренко Соколов Јовановић Ковальчук Щербакова",
        "Київ; Београд; Пловдив; Алматы", "пример.example книги.example",
    ),
    _script(
        "Greek", "Ελένη Γιώργος Σοφία Νίκος Αγγελική Ξένια",
        "Παπαδοπούλου Γεωργίου Βλάχος Οικονόμου",
        "Αθήνα; Θεσσαλονίκη; Πάτρα", "βιβλία.example",
    ),
    _script(
        "Arabic", "ليلى أحمد فاطمة يوسف نور سلمى",
        "حداد خوري منصور الشامي", "القاهرة; بيروت; الدار البيضاء", "مثال.example",
    ),
    _script(
        "Hebrew", "נועה דוד שירה יעל אורי", "לוי מזרחי פרידמן שפירא",
        "חיפה; ירושלים", "דוגמה.example",
    ),
    _script(
        "CJK", "美咲 健太 伟 芳 민준 서연 結衣 さくら", "佐藤 髙橋 王 李 김 박 長谷川",
        "東京; 北京; 서울; 臺北", "例え.example 图书.example",
    ),
    _script(
        "Devanagari", "अनन्या अर्जुन प्रिया राहुल लक्ष्मी", "शर्मा पाटील त्रिपाठी सिंह",
        "मुंबई; पुणे; दिल्ली", "उदाहरण.example",
    ),
    _script(
        "emoji", "Robin🌻 📚Sam Kim👩🏽‍🚀 Max🇫🇮 ✨Toni✨", "Moon🌙 Reader Fox🦊 Park",
        "Bath 🛁; Lima; Oslo ❄️",
    ),
)  # fmt: skip

#: How many in a hundred, in the order of `SCRIPTS`.
SHARES = (40, 6, 20, 8, 4, 6, 3, 6, 4, 3)

PLANS = ("free", "free", "free", "reader", "reader", "patron")
GENRES = ("mystery", "essays", "poetry", "travel", "science", "history", "fantasy")
BOOKS = (
    "Middlemarch", "The Moonstone", "Frankenstein", "The Time Machine", "Cranford", "Persuasion",
    "Dead Souls", "Oblomov", "Three Men in a Boat", "Walden", "Germinal", "L'Assommoir",
    "“Rip Van Winkle” & other tales", "Der Schimmelreiter", "草枕", "Евгений Онегин",
)  # fmt: skip
