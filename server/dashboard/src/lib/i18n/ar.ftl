app = بريد
app-title = بريد · التنسيق
app-title-sos = ({ $n }) استغاثة · بريد
app-purpose = تقارير الدوريات في صورة واحدة
skip-to-content = انتقل إلى القائمة

# Login
login-title = تسجيل الدخول
login-name = اسم الحساب
login-password = كلمة المرور
login-submit = دخول
login-busy = جارٍ التحقق…
login-error-wrong_credentials = اسم الحساب أو كلمة المرور غير صحيحة.
login-error-too_many_attempts = محاولات كثيرة. انتظر دقيقة ثم أعد المحاولة.
login-error-login_required = يرجى تسجيل الدخول.
login-error-network = تعذّر الوصول إلى المحطة. تحقق من الشبكة ثم أعد المحاولة.
login-error-other = رفضت المحطة الطلب ({ $code }).
logout = تسجيل الخروج
signed-in-as = الحساب: { $name }

# Bar
nav-label = الشاشات
nav-map = الخريطة
nav-patrols = الدوريات
nav-devices = الأجهزة
language = English
language-label = التبديل إلى الإنجليزية
theme-auto = المظهر: حسب النظام
theme-light = المظهر: فاتح
theme-dark = المظهر: داكن
demo-badge = عرض تجريبي
help = لوحة المفاتيح والرموز
help-title = لوحة المفاتيح
help-search = بحث
help-move = التالي أو السابق في القائمة
help-open = فتح
help-close = إغلاق
help-go-map = إلى الخريطة
help-go-patrols = إلى الدوريات
help-go-devices = إلى الأجهزة
help-help = هذه المساعدة
help-licences = تراخيص مكوّنات هذه الصفحة
stat-devices = { $connected } من { $n } من الأجهزة متصلة
stat-conflicts =
    { $n ->
        [zero] لا سجلات فيها تعارض
        [one] سجل واحد فيه تعارض
        [two] سجلان فيهما تعارض
        [few] { $n } سجلات فيها تعارض
        [many] { $n } سجلًا فيها تعارض
       *[other] { $n } سجل فيها تعارض
    }
stat-catching-up =
    { $n ->
        [zero] لا دفعات تنتظر العرض
        [one] دفعة واحدة تنتظر العرض
        [two] دفعتان تنتظران العرض
        [few] { $n } دفعات تنتظر العرض
        [many] { $n } دفعة تنتظر العرض
       *[other] { $n } دفعة تنتظر العرض
    }
stat-set-aside =
    { $n ->
        [zero] لا مدخلات جانبية
        [one] مدخلة واحدة وُضعت جانبًا
        [two] مدخلتان وُضعتا جانبًا
        [few] { $n } مدخلات وُضعت جانبًا
        [many] { $n } مدخلة وُضعت جانبًا
       *[other] { $n } مدخلة وُضعت جانبًا
    }

# Connection
pill-live = مباشر · حُدِّث { $age }
pill-connecting = جارٍ الاتصال…
pill-offline = غير متصل منذ { $time }، تُعرض البيانات المحفوظة
pill-offline-short = غير متصل منذ { $time }
load-error = تعذّر التحميل: { $reason }
retry = أعد المحاولة
part-failed = حدث خلل في هذا الجزء من الصفحة، والأجزاء الأخرى تعمل.
loading = جارٍ التحميل…
error-network = لا جواب من المحطة
error-not_ready = ما زالت المحطة تُعِدّ الصورة
error-bad_query = لا تفهم المحطة هذا المرشّح
error-internal = حدث خلل في المحطة، وفي سجلّ تتبّعها تفصيله
error-other = أجابت المحطة بـ { $code }

# Times
age-now = الآن
age-seconds =
    { $n ->
        [zero] الآن
        [one] قبل ثانية
        [two] قبل ثانيتين
        [few] قبل { $n } ثوانٍ
        [many] قبل { $n } ثانية
       *[other] قبل { $n } ثانية
    }
age-minutes =
    { $n ->
        [zero] الآن
        [one] قبل دقيقة
        [two] قبل دقيقتين
        [few] قبل { $n } دقائق
        [many] قبل { $n } دقيقة
       *[other] قبل { $n } دقيقة
    }
age-hours =
    { $n ->
        [zero] الآن
        [one] قبل ساعة
        [two] قبل ساعتين
        [few] قبل { $n } ساعات
        [many] قبل { $n } ساعة
       *[other] قبل { $n } ساعة
    }
age-days =
    { $n ->
        [zero] اليوم
        [one] قبل يوم
        [two] قبل يومين
        [few] قبل { $n } أيام
        [many] قبل { $n } يومًا
       *[other] قبل { $n } يوم
    }
age-ahead =
    { $n ->
        [zero] الآن
        [one] مؤرَّخ بدقيقة إلى الأمام
        [two] مؤرَّخ بدقيقتين إلى الأمام
        [few] مؤرَّخ بـ { $n } دقائق إلى الأمام
        [many] مؤرَّخ بـ { $n } دقيقة إلى الأمام
       *[other] مؤرَّخ بـ { $n } دقيقة إلى الأمام
    }
length-now = 0 ثانية
length-seconds =
    { $n ->
        [zero] أقل من ثانية
        [one] ثانية
        [two] ثانيتان
        [few] { $n } ثوانٍ
        [many] { $n } ثانية
       *[other] { $n } ثانية
    }
length-minutes =
    { $n ->
        [zero] أقل من دقيقة
        [one] دقيقة
        [two] دقيقتان
        [few] { $n } دقائق
        [many] { $n } دقيقة
       *[other] { $n } دقيقة
    }
length-hours =
    { $n ->
        [zero] أقل من ساعة
        [one] ساعة
        [two] ساعتان
        [few] { $n } ساعات
        [many] { $n } ساعة
       *[other] { $n } ساعة
    }
length-days =
    { $n ->
        [zero] أقل من يوم
        [one] يوم
        [two] يومان
        [few] { $n } أيام
        [many] { $n } يومًا
       *[other] { $n } يوم
    }
length-ahead = —

# Alerts
alerts-label = الإنذارات المفتوحة
alert-sos = استغاثة
alert-open = عرض
alerts-more =
    { $n ->
        [zero] لا إنذارات أخرى
        [one] إنذار مفتوح آخر
        [two] إنذاران مفتوحان آخران
        [few] { $n } إنذارات مفتوحة أخرى
        [many] { $n } إنذارًا مفتوحًا آخر
       *[other] { $n } إنذار مفتوح آخر
    }
alerts-other =
    { $n ->
        [zero] لا إنذارات أخرى
        [one] إنذار مفتوح من نوع آخر
        [two] إنذاران مفتوحان من نوع آخر
        [few] { $n } إنذارات مفتوحة من نوع آخر
        [many] { $n } إنذارًا مفتوحًا من نوع آخر
       *[other] { $n } إنذار مفتوح من نوع آخر
    }
alerts-show-all = عرض الكل
alerts-fewer = عرض أقل
alert-raised-by = أطلقها { $who }
alert-no-place = لم يصل موقع
alert-unacknowledged = لم يؤكّد أحد استلامها بعد

# Feed and filters
feed-label = الأحداث
feed-search = ابحث في الأحداث…
feed-search-label = البحث في الأحداث
feed-filters = المرشّحات
feed-clear = إلغاء المرشّحات
feed-count =
    { $n ->
        [zero] لا أحداث
        [one] حدث واحد
        [two] حدثان
        [few] { $n } أحداث
        [many] { $n } حدثًا
       *[other] { $n } حدث
    }
feed-count-more =
    { $n ->
        [zero] لا أحداث
        [one] أحدث حدث
        [two] أحدث حدثين
        [few] أحدث { $n } أحداث
        [many] أحدث { $n } حدثًا
       *[other] أحدث { $n } حدث
    }
feed-empty = لا حدث يطابق. ألغِ مرشّحًا لترى المزيد.
feed-empty-all = لم يصل شيء بعد. تظهر الأحداث هنا ما إن تدخل دورية في نطاق الشبكة.
feed-more = تحميل الأقدم
feed-new = جديد
arrivals-count =
    { $n ->
        [zero] لا تقارير متأخرة
        [one] وصل تقرير واحد متأخرًا
        [two] وصل تقريران متأخران
        [few] وصلت { $n } تقارير متأخرة
        [many] وصل { $n } تقريرًا متأخرًا
       *[other] وصل { $n } تقرير متأخر
    }
arrivals-seen = تم الاطلاع
filter-kind = العرض
filter-kind-any = الأحداث والإنذارات
filter-kind-event = الأحداث فقط
filter-kind-alert = الإنذارات فقط
filter-type = النوع
filter-organisation = الجهة
filter-priority = الأولوية
filter-state = الحالة
filter-review = المراجعة
filter-span = الوقت
filter-any = الكل
filter-priority-min = { $priority } فأعلى
filter-conflicts = المتعارضة فقط
filter-withdrawn = مع المسحوبة
span-all = كل الأوقات
span-6h = آخر 6 ساعات
span-24h = آخر 24 ساعة
span-3d = آخر 3 أيام
span-7d = آخر 7 أيام
span-30d = آخر 30 يومًا
group-events = الأحداث
group-alerts = الإنذارات

# Record
record-untitled = بلا عنوان
record-close = إغلاق
record-missing = هذا السجل غير موجود هنا. ربما لم يصل بعد.
record-show-on-map = عرض على الخريطة
record-withdrawn = مسحوب
record-conflicts =
    { $n ->
        [zero] لا تعارض
        [one] تعارض واحد
        [two] تعارضان
        [few] { $n } تعارضات
        [many] { $n } تعارضًا
       *[other] { $n } تعارض
    }
record-late = وصل بعد كتابته بمدة: { $length }
section-persons = الأشخاص (أعداد فقط)
section-needs = الاحتياجات
section-place = الموقع
section-note = ملاحظة
section-details = التفاصيل
section-history = السجل الزمني
section-conflicts = تعارض
section-other-fields = حقول أخرى
section-attachments = الصور
attachment-name = الصورة { $n } من { $count }
attachment-open = فتح: { $name }
attachment-before = الصورة السابقة
attachment-after = الصورة التالية
attachment-save = حفظ هذه الصورة
attachment-waiting = لم تصل بعد: ما زالت على الهاتف
attachment-broken = يتعذّر عرضها
attachment-preview = معاينة، والباقي على الهاتف
attachment-preview-long = هذه معاينة. الصورة الكاملة ما زالت على الهاتف وتصل حين تتوفر له الشبكة.
size-kb = { $n } ك.ب
size-mb = { $n } م.ب
persons-total = المجموع
persons-women = نساء
persons-men = رجال
persons-girls = بنات
persons-boys = أولاد
persons-unknown = غير معروف
persons-count =
    { $n ->
        [zero] لا أشخاص
        [one] شخص واحد
        [two] شخصان
        [few] { $n } أشخاص
        [many] { $n } شخصًا
       *[other] { $n } شخص
    }
needs-water = ماء
needs-medical = رعاية طبية
needs-transport = نقل
needs-count =
    { $n ->
        [zero] لا أحد
        [one] لشخص واحد
        [two] لشخصين
        [few] لـ { $n } أشخاص
        [many] لـ { $n } شخصًا
       *[other] لـ { $n } شخص
    }
place-near = { $km } كم { $direction } { $place }
place-at = عند { $place }
place-accuracy = ± { $m } م
place-accuracy-unknown = الدقة غير مذكورة
place-none = بلا موقع
place-age = أُخذ الموقع { $age }
place-copy = نسخ
place-copied = نُسخ
direction-n = شمال
direction-ne = شمال شرق
direction-e = شرق
direction-se = جنوب شرق
direction-s = جنوب
direction-sw = جنوب غرب
direction-w = غرب
direction-nw = شمال غرب
conflict-explain = كتبها جهازان مختلفان وكلٌّ منهما بعيد عن الآخر. تُحفظ القيمتان حتى يحسم أحدٌ الأمر من جهازه.
conflict-shown = المعروضة الآن
conflict-kept = محفوظة إلى جانبها
by-device = { $device } · { $organisation }
history-created = سُجِّل
history-edited = عُدِّل
history-withdrawn = سُحب
history-restored = أُعيد
history-written = كُتب { $time }
history-received = وصل إلى المحطة { $time }
history-removed = حُذف
history-first =
    { $n ->
        [zero] لا حقول
        [one] حقل واحد
        [two] حقلان
        [few] { $n } حقول
        [many] { $n } حقلًا
       *[other] { $n } حقل
    }
value-yes = نعم
value-no = لا
value-none = لا شيء
unknown-device = جهاز غير معروف
unknown-organisation = جهة غير معروفة

# Patrols
patrols-label = الدوريات
patrols-search = ابحث في الدوريات…
patrols-count =
    { $n ->
        [zero] لا دوريات
        [one] دورية واحدة
        [two] دوريتان
        [few] { $n } دوريات
        [many] { $n } دورية
       *[other] { $n } دورية
    }
patrols-empty = لا دورية تطابق.
patrols-empty-all = لم تصل أي دورية بعد.
patrol-untitled = دورية بلا عنوان
patrol-events =
    { $n ->
        [zero] لا أحداث
        [one] حدث واحد
        [two] حدثان
        [few] { $n } أحداث
        [many] { $n } حدثًا
       *[other] { $n } حدث
    }
patrol-positions =
    { $n ->
        [zero] لا مواقع
        [one] موقع واحد
        [two] موقعان
        [few] { $n } مواقع
        [many] { $n } موقعًا
       *[other] { $n } موقع
    }
patrol-last-position = آخر موقع
patrol-no-position = لم يصل أي موقع بعد
section-track = المسار
section-patrol-events = أحداث هذه الدورية
track-distance = { $km } كم مسجّلة
track-gaps =
    { $n ->
        [zero] بلا انقطاع
        [one] انقطاع واحد
        [two] انقطاعان
        [few] { $n } انقطاعات
        [many] { $n } انقطاعًا
       *[other] { $n } انقطاع
    }
track-gap = انقطاع مدته { $length }
track-none = لم يصل أي مسار بعد
track-legend = الخط المتقطع: لم تُسجَّل مواقع، والطريق المسلوك غير معروف.

# Devices
devices-label = الأجهزة
devices-search = ابحث في الأجهزة…
devices-count =
    { $n ->
        [zero] لا أجهزة
        [one] جهاز واحد
        [two] جهازان
        [few] { $n } أجهزة
        [many] { $n } جهازًا
       *[other] { $n } جهاز
    }
devices-empty = لم يُسجَّل أي جهاز بعد. شغّل «barid enrol» على المحطة وامسح الرمز بالهاتف.
devices-note = «غير المرسل» هو ما قاله الهاتف آخر مرة سُمع فيها؛ ولا يشمل ما سُجّل بعدها.
device-name = الجهاز
device-state = الحالة
device-link = الاتصال
device-last-seen = آخر ظهور
device-unsent = غير مرسل
device-behind = لم يجلبه بعد
device-received = آخر سجل
device-enrolled = تاريخ التسجيل
device-connected = متصل
device-disconnected = خارج النطاق
device-word-up_to_date = محدَّث
device-word-waiting = بالانتظار { $n }
device-word-behind = ينقصه { $n }
device-word-silent = صامت منذ { $length }
device-word-never = لم يتصل قط
never = أبدًا
unsent-unknown = لم يُذكر
sort-by = ترتيب حسب { $column }

# Map
map-label = خريطة الأحداث والدوريات والأجهزة. القائمة المجاورة تحوي السجلات نفسها.
map-zoom-in = تكبير
map-zoom-out = تصغير
map-home = عرض الكل
map-legend = الرموز
map-attribution = الحدود: Natural Earth، وليست موقفًا رسميًا · أسماء الأماكن تقريبية
legend-shape = الشكل: نوع الحدث
legend-colour = اللون: الجهة
legend-size = الإطار: الأولوية
legend-device = آخر موقع معروف لجهاز، مع عمره
legend-device-old = أقدم من 6 ساعات: باهت
legend-gap = انقطاع في المسار
legend-track = مسار
legend-sos = استغاثة مفتوحة
legend-warning = إنذار آخر مفتوح
legend-cluster = عدة أحداث؛ الحلقة الصفراء: أحدها عاجل
legend-conflict = متعارض
map-failed = لا يستطيع هذا المتصفح رسم الخريطة (WebGL غير متاح). القوائم تعمل كالمعتاد.

# Vocabulary
type-people_in_distress = أشخاص في خطر
type-medical_emergency = حالة طبية طارئة
type-stranded_vehicle = مركبة عالقة
type-deceased_found = العثور على متوفين
type-group_movement_observed = تحرك مجموعة
type-irregular_crossing = عبور غير نظامي
type-suspected_trafficking = اشتباه في اتجار بالبشر
type-smuggling_goods = تهريب بضائع
type-smuggling_fuel = تهريب وقود
type-weapons_find = العثور على أسلحة
type-unexploded_ordnance = ذخائر غير منفجرة
type-suspicious_vehicle = مركبة مشبوهة
type-infrastructure_damage = ضرر في البنية التحتية
type-water_point_status = نقطة ماء
type-track_state = حالة الطريق
type-weather_hazard = خطر جوي
type-checkpoint_log = سجل نقطة تفتيش
type-meeting_liaison = اجتماع وتنسيق
type-equipment_fault = عطل في المعدات
type-other = غير ذلك
type-sos = استغاثة
type-hazard = خطر
type-overdue = تأخر عن الموعد
type-geofence = دخول منطقة أو مغادرتها
type-tasking = مهمة
category-rescue = إنقاذ
category-environment = بيئة
category-operation = عمليات
category-security = أمن
category-other = غير ذلك
layer-border_crossing = عبور الحدود
layer-cross_border_crime = جريمة عابرة للحدود
layer-crisis_rescue = أزمة وإنقاذ
layer-other = غير ذلك
priority-0 = عادية
priority-100 = لافتة
priority-200 = عالية
priority-300 = عاجلة
state-new = جديد
state-active = نشط
state-resolved = مُنجز
state-raised = أُطلقت
state-acknowledged = أُكِّد استلامها
state-responding = الاستجابة جارية
state-cleared = انتهت
state-cancelled = أُلغيت
patrol-state-planned = مخططة
patrol-state-ready = جاهزة
patrol-state-active = نشطة
patrol-state-paused = متوقفة مؤقتًا
patrol-state-done = انتهت
patrol-state-cancelled = أُلغيت
review-draft = مسودة
review-submitted = مُقدَّم
review-under_review = قيد المراجعة
review-verified = موثَّق
review-needs_info = يحتاج معلومات
review-rejected = مرفوض
transport-vehicle = مركبة
transport-foot = سيرًا
transport-camel = جمال
transport-boat = قارب
transport-air = جوًّا
gap-no_fix = لا إشارة من الأقمار
gap-paused = أُوقف التسجيل مؤقتًا
gap-battery = توفير البطارية أو نفادها
gap-killed = أوقف الهاتف التطبيق
gap-unknown = السبب غير معروف
how-gps = بواسطة GPS
how-manual = حُدِّد يدويًا
how-estimated = تقديري
how-reported = كما أبلغ به آخرون
device-state-pending = بانتظار التفعيل
device-state-active = نشط
device-state-suspended = موقوف
device-state-lost = مفقود
device-state-revoked = ملغى
device-state-retired = خارج الخدمة

field-time = الوقت
field-lat = خط العرض
field-lon = خط الطول
field-accuracy_m = الدقة (م)
field-how = طريقة تحديد الموقع
field-reported_by = المُبلِّغ
field-patrol = الدورية
field-event_type = النوع
field-category = الفئة
field-layer = الطبقة
field-priority = الأولوية
field-title = العنوان
field-note = الملاحظة
field-review_state = المراجعة
field-operational_state = الحالة
field-needs_water = بحاجة إلى ماء
field-needs_medical = بحاجة إلى رعاية طبية
field-needs_transport = بحاجة إلى نقل
field-persons_total = مجموع الأشخاص
field-persons_women = نساء
field-persons_men = رجال
field-persons_girls = بنات
field-persons_boys = أولاد
field-persons_unknown = أشخاص غير معروفين
field-alert_type = الإنذار
field-raised_by = أطلقه
field-state = الحالة
field-serial = الرقم
field-patrol_type = نوع الدورية
field-unit = الوحدة
field-scheduled_start = البداية المخططة
field-scheduled_end = النهاية المخططة
field-objective = الهدف
field-leader = القائد
field-transport = وسيلة النقل
field-started_at = بدأت
field-ended_at = انتهت
field-withdrawn = مسحوب
field-attachment = صورة
field-organisation = الجهة
field-device = الجهاز
patrol-type-routine = اعتيادية
patrol-type-response = استجابة
patrol-type-rescue = إنقاذ
patrol-type-escort = مرافقة
patrol-type-reconnaissance = استطلاع
patrol-type-checkpoint = نقطة تفتيش
