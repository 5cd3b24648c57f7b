# ruff: noqa: E501 (an author's long lines)
"""What the newsletter of a fictional reading club says. Books are real, the club and its places are
not; nobody living is named or quoted."""

from typing import NamedTuple


class Book(NamedTuple):
    """A book of the season, with what the club says about it."""

    slug: str
    title: str
    by: str
    picture: str  #: what its picture shows, for whoever cannot see it
    words: tuple[str, ...]


BOOKS = (
    Book("middlemarch", "Middlemarch", "George Eliot, 1871–72", "A country road between hedges", (
        "Our long read of the season. Eight books, one a fortnight, and a map of the town that we draw together as the houses come up. Whoever has tried it before and stopped at the first dinner party: this is the winter to get past it, in company and with cake.",
        "We read it as it first appeared, in parts, and stop where its first readers had to stop. Bring a pencil. The question for the opening evening is a small one: who in these first ten chapters is ever really listened to, and by whom?",
    )),
    Book("moonstone", "The Moonstone", "Wilkie Collins, 1868", "A yellow stone on dark cloth", (
        "A diamond disappears in the night, and its witnesses tell what they saw, one after the other. We hand the story round as the book does: every table speaks for one narrator and defends them against the rest of the room, with evidence from the page.",
        "No spoilers before the third evening, please. The bookshelf in the hall has six copies to borrow and two in large print, and the audio version may be streamed by everybody who has a card.",
    )),
    Book("frankenstein", "Frankenstein", "Mary Shelley, 1818", "Ice under a low sun", (
        "Letters from the ice, a student's confession, and in the middle the voice that the films left out. We read the text of 1818 and put the changes of 1831 beside it on the last evening, one paragraph at a time.",
        "This one is short enough for a weekend and long enough for an argument. If you come to a single meeting this spring, come to the one about the meeting on the glacier.",
    )),
    Book("time-machine", "The Time Machine", "H. G. Wells, 1895", "A brass lever and a lamp", (
        "Ninety pages, one dinner and eight hundred thousand years. We begin at the table, where the guests have names like jobs, and ask what each of them would have asked if they had believed a word of it.",
        "The science corner has laid out the papers that were new when it was written, and a list of later books that took the same road. All of them fit into a coat pocket.",
    )),
    Book("cranford", "Cranford", "Elizabeth Gaskell, 1853", "Lace beside a tea cup", (
        "A town in possession of the ladies, a cow in flannel, and a very quiet kind of courage. These are sketches more than a plot, so every evening stands by itself: come late, leave early, miss two and come back.",
        "We read aloud, in turns, and nobody has to. The kitchen promises seed cake and has asked us to say that the recipe is not going to be improved this time.",
    )),
    Book("persuasion", "Persuasion", "Jane Austen, 1817", "A sea wall in the wind", (
        "Eight years after a promise was talked away, the same people meet at the same table. We follow one thing only: who hears what, through which door, and what they do with it. It turns out to be most of the book.",
        "Two evenings on the letter. There is a copy of the cancelled chapters in the reading room, and a walk along the river for everybody who thinks better on their feet.",
    )),
    Book("dead-souls", "Dead Souls", "Nikolai Gogol, 1842", "A carriage in deep mud", (
        "A polite man travels from estate to estate and buys peasants who no longer live. Each visit is a portrait and a feast; we take one a week and cook one dish of it, as far as the kitchen can be persuaded.",
        "Three translations lie side by side on the long table, open at the same page. Those of us who read Russian have promised to say what is lost, and what was gained that was never there.",
    )),
    Book("oblomov", "Oblomov", "Ivan Goncharov, 1859", "A sofa and slippers", (
        "He does not get up for a hundred and fifty pages, and we shall not hurry him. This is the only group that meets lying down: mats are provided, slippers are welcome, and the first evening ends when somebody falls asleep.",
        "There is a serious question under it all, about what a life is for and who does the washing. We keep it for the fourth evening, when everybody has rested.",
    )),
    Book("three-men", "Three Men in a Boat", "Jerome K. Jerome, 1889", "A skiff, a dog and a kettle", (
        "A fortnight on the Thames, or nearly, with a tin of pineapple and no opener. A book for a summer that has not come yet; we read it in the coldest month on purpose, with the windows shut and the map on the wall.",
        "In June we shall row the first stretch ourselves. Places in the boats are few and go by lot; the list is open until the end of the month, and dogs count as one person.",
    )),
    Book("walden", "Walden", "Henry David Thoreau, 1854", "A cabin by a pond", (
        "Two years, two months and two days by a pond, and a bill for nails. We read the accounts as closely as the sunsets, and ask each other, politely, what a week of ours would cost if it were written down like that.",
        "The afternoon group goes outside for it, whatever the weather. Sturdy shoes, a thermos, and one page that you would like to hear read under a tree.",
    )),
    Book("germinal", "Germinal", "Émile Zola, 1885", "A pit head before dawn", (
        "Down the shaft before dawn with a lamp that is not yours. We read it with the mining maps of the region and the songs of the time, and with the patience that the middle chapters ask for and repay.",
        "Readers of French meet half an hour early, for the passages about the horse. A short introduction to the strike that stood behind the book is on our pages, free for all.",
    )),
    Book("woman-in-white", "The Woman in White", "Wilkie Collins, 1860", "A figure on a night road", (
        "A road at night, a hand on a shoulder, and then forty instalments in which nobody may put the paper down. We read two a week, stop at every cliff, and take bets in biscuits on what comes after it.",
        "The villain has his own society by now. It meets on the last Friday, in waistcoats, and would like it known that new members need neither mice nor references.",
    )),
    Book("kidnapped", "Kidnapped", "Robert Louis Stevenson, 1886", "Heather and a red coat", (
        "A flight in the heather, a quarrel between friends, and the best duel ever fought with bagpipes. Our youngest group picked it, and the rest of us are allowed in if we sit at the back.",
        "There is a walk of the last chapters, on paper: a strip map twelve feet long, to be coloured in. Pencils are there, patience is to be brought along.",
    )),
    Book("schimmelreiter", "Der Schimmelreiter", "Theodor Storm, 1888", "A dyke under clouds", (
        "Dykes, spring tides, and a rider whom half the village has seen. The German table reads the original and the English table a new translation; both meet for the storm, which is the same in every language.",
        "Somebody who has worked on sea walls all their life explains what Hauke got right. It is a good deal, and the part that he got wrong is the part that the book is about.",
    )),
    Book("household-tales", "Children's and Household Tales", "Jacob and Wilhelm Grimm, 1812", "A path into a wood", (
        "Not for children, whatever the cover says. We compare the first edition with the last and watch the mothers turn into stepmothers, the forest grow, and the jokes go missing one after the other.",
        "Every evening ends with a tale told from memory. It may be yours, from wherever you come from; it need not be German, or old, or true.",
    )),
)  # fmt: skip

#: Meetings by city: slug, city, place and time.
MEETINGS = (
    ("london", "London", "The Lantern Room, above the map shop, Tuesdays at seven"),
    ("dublin", "Dublin", "The long table of the print works, Wednesdays at half past six"),
    ("zurich", "Zürich", "Lesesaal am See, jeden ersten Montag"),
    ("lisbon", "Lisbon", "The tiled courtyard, Thursdays after work"),
    ("athens", "Αθήνα", "The reading steps, Fridays when the heat is over"),
    ("kyiv", "Київ", "The quiet hall of the club house, Saturdays at noon"),
    ("tokyo", "東京", "The second floor of the paper store, second Sunday of the month"),
    ("pune", "पुणे", "Under the banyan of the club garden, Sunday mornings"),
)

NOTES = (
    ("returns", "Returning books by post", "Any parcel addressed to the club comes back to the right shelf. Put the slip from the last page on top, and please do not use the kind of tape that cannot be opened without a saw."),
    ("large-print", "Large print and audio", "Every book of the season is there in large print and as audio. Tell us once which you like best, and you will find it under your name on the first evening."),
    ("silent-hour", "The silent hour", "On Sundays from ten to eleven nobody speaks and nobody has to explain what they are reading. Tea is poured without a word. It is the fullest hour of the week."),
    ("swap-table", "The swap table", "Bring one, take one; bring three, take three; bring none, and take one anyway. The only rule is a pencilled line on the first page that says why it was worth your while."),
    ("young-readers", "Young readers", "From eight years on, with or without parents, every second Saturday. This term they are writing the missing chapter of a book that they are not allowed to name."),
    ("translators", "The translators' corner", "One page, six languages, two hours. This month it is a page about snow, which turns out to be difficult in four of them and impossible in one."),
)  # fmt: skip

#: The season's evenings: day, book's slug, what happens.
EVENINGS = (
    ("7 January", "middlemarch", "Opening night: soup at six, the first book at seven"),
    ("9 January", "time-machine", "Dinner with the Time Traveller, bring a theory"),
    ("12 January", "cranford", "Reading aloud by the stove, part one"),
    ("14 January", "moonstone", "The birthday dinner, and who sat where"),
    ("16 January", "oblomov", "First evening on the mats; ends by itself"),
    ("21 January", "middlemarch", "Second book: old and young"),
    ("23 January", "three-men", "Packing the hamper, with a real hamper"),
    ("26 January", "walden", "Afternoon walk to the pond, whatever the weather"),
    ("28 January", "frankenstein", "Letters from the ice"),
    ("30 January", "woman-in-white", "Instalments one to six, with biscuits"),
    ("4 February", "middlemarch", "Third book: waiting"),
    ("6 February", "dead-souls", "The first estate, and pancakes"),
    ("9 February", "cranford", "Reading aloud by the stove, part two"),
    ("11 February", "moonstone", "The shivering sand, with a map"),
    ("13 February", "kidnapped", "The house of Shaws, lights off for one chapter"),
    ("18 February", "middlemarch", "Fourth book: three problems"),
    ("20 February", "germinal", "Down the shaft: lamps are provided"),
    ("23 February", "household-tales", "Told from memory, from anywhere"),
    ("25 February", "frankenstein", "The meeting on the glacier"),
    ("27 February", "persuasion", "Who hears what, through which door"),
    ("4 March", "middlemarch", "Fifth book: the dead hand"),
    ("6 March", "schimmelreiter", "Two languages, one storm"),
    ("9 March", "walden", "The accounts, line by line"),
    ("11 March", "moonstone", "No more secrets: the last narrator"),
    ("13 March", "persuasion", "The letter, first evening"),
    ("18 March", "middlemarch", "Sixth book: the widow and the wife"),
    ("20 March", "woman-in-white", "The villain's society meets, in waistcoats"),
)
